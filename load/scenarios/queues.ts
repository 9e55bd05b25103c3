// Whether it matters how many queues there are.
import { addressAt } from '../exchange.js';
import type { Scenario } from '../scenario.js';
import { cycle, cycles } from './cycle.js';

/** Prime, and so passes through all queues, each time at another distance from the other connections. */
const STRIDE = 7919;

export const scenario: Scenario = {
  name: 'queues',
  summary: 'cycles at one hot queue, and over 10,000 queues',
  variants: () => [
    { name: '1 queue', queues: 1, talk: cycles },
    {
      name: '10,000 queues',
      queues: 10_000,
      *talk(run, connection) {
        for (let i = connection; run.goesOn(); i++) yield* cycle(run, addressAt(run, i * STRIDE));
      },
    },
  ],
};
