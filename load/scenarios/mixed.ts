// Producers and consumers at the same time: a third of the connections SENDs, the others RECV and FREE.
import { pause } from '../conversation.js';
import { addressAt, free, receive, send } from '../exchange.js';
import type { Scenario } from '../scenario.js';

/** A consumer makes two requests of a message, a producer one. */
const PRODUCER_OF = 3;
const EMPTY_PAUSE_MS = 5;

export const scenario: Scenario = {
  name: 'mixed',
  summary: 'a third of the connections SENDs, the others RECV and FREE, at 16 queues',
  variants: () => [
    {
      name: '',
      queues: 16,
      leastConnections: 2,
      *talk(run, connection) {
        if (connection % PRODUCER_OF === 0) {
          for (let i = connection; run.goesOn(); i++) yield* send(run, addressAt(run, i));
          return;
        }
        for (let i = connection; run.goesOn(); i++) {
          const message = yield* receive(run, addressAt(run, i));
          if (message) yield* free(run, message);
          else yield* pause(EMPTY_PAUSE_MS);
        }
      },
    },
  ],
};
