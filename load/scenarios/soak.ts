// Whether anything drifts: cycles for ten minutes, with a sample every ten seconds.
import type { Scenario } from '../scenario.js';
import { cycles } from './cycle.js';

const DURATION_S = 600;

export const scenario: Scenario = {
  name: 'soak',
  summary: 'cycles for 10 minutes (--duration), a sample every 60th of it (--sample): what drifts',
  variants: () => [{ name: '', queues: 100, durationS: DURATION_S, samples: true, talk: cycles }],
};
