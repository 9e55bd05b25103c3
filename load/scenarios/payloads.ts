// Whether it matters how long messages are.
import type { Scenario } from '../scenario.js';
import { cycles } from './cycle.js';

export const scenario: Scenario = {
  name: 'payloads',
  summary: 'cycles with payloads of 100 B, 10 KB and 200 KB',
  variants: () => [
    { name: '100 B', queues: 100, payloadLength: 100, talk: cycles },
    { name: '10 KB', queues: 100, payloadLength: 10_000, talk: cycles },
    { name: '200 KB', queues: 100, payloadLength: 200_000, talk: cycles },
  ],
};
