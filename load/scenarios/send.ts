// SEND alone: queues only grow.
import { addressAt, send } from '../exchange.js';
import type { Scenario } from '../scenario.js';

export const scenario: Scenario = {
  name: 'send',
  summary: 'SEND alone, to 100 queues',
  variants: () => [
    {
      name: '',
      queues: 100,
      *talk(run, connection) {
        for (let i = connection; run.goesOn(); i++) yield* send(run, addressAt(run, i));
      },
    },
  ],
};
