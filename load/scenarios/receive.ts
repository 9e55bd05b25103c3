// RECV and FREE, of messages that wait already; it may end before its time, when none is left.
import { addressAt, free, receive } from '../exchange.js';
import type { Scenario } from '../scenario.js';

/** More than one worker gives out in a second. */
const PER_SECOND = 12_000;
const QUEUES = 100;

export const scenario: Scenario = {
  name: 'receive',
  summary: 'RECV and FREE, of messages that wait in 100 queues; ends early when none is left',
  variants: ({ durationS = 10 }) => [
    {
      name: '',
      queues: QUEUES,
      waiting: PER_SECOND * durationS,
      waitingWithinS: durationS,
      *talk(run, connection) {
        for (let i = connection, empty = 0; run.goesOn() && empty < QUEUES; i++) {
          const message = yield* receive(run, addressAt(run, i));
          if (message) yield* free(run, message);
          empty = message ? 0 : empty + 1;
        }
      },
    },
  ],
};
