// Whether it matters how many messages wait: slow consumers and as many producers, with nothing waiting and with a million.
import { pause } from '../conversation.js';
import { addressAt, free, receive, send } from '../exchange.js';
import type { Scenario, Variant } from '../scenario.js';

/** What a consumer does with a message, and a producer before its next. */
const WORK_MS = 10;

export const scenario: Scenario = {
  name: 'backlog',
  summary: 'slow consumers and as many producers, with none waiting and with a million (--waiting) in 100 queues',
  variants: ({ waiting }) => [withWaiting(0), withWaiting(waiting)],
};

const withWaiting = (waiting: number): Variant => ({
  name: `${waiting.toLocaleString('en')} waiting`,
  queues: 100,
  waiting,
  *talk(run, connection) {
    for (let i = connection; run.goesOn(); i++) {
      const address = addressAt(run, i);
      if (connection % 2 === 0) {
        yield* send(run, address);
        yield* pause(WORK_MS);
      } else {
        const message = yield* receive(run, address);
        yield* pause(WORK_MS);
        if (message) yield* free(run, message);
      }
    }
  },
});
