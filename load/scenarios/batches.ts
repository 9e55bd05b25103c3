// A hundred messages in each request: SENDs in one body, RECV with max, FREE with ids.
import { addressAt, freeMany, receiveMany, sendMany } from '../exchange.js';
import type { Scenario } from '../scenario.js';

export const BATCH = 100;

export const scenario: Scenario = {
  name: 'batches',
  summary: 'cycles of 100 messages: 100 SENDs in one body, RECV max 100, FREE ids',
  variants: () => [
    {
      name: '',
      queues: 100,
      *talk(run, connection) {
        for (let i = connection; run.goesOn(); i++) {
          const address = addressAt(run, i);
          yield* sendMany(run, address, BATCH);
          const held = yield* receiveMany(run, address, BATCH);
          if (held && held.length > 0) yield* freeMany(run, address, held);
        }
      },
    },
  ],
};
