// THE table of scenarios.
import type { Scenario } from '../scenario.js';
import { scenario as backlog } from './backlog.js';
import { scenario as batches } from './batches.js';
import { scenario as cycle } from './cycle.js';
import { scenario as durability } from './durability.js';
import { scenario as mixed } from './mixed.js';
import { scenario as payloads } from './payloads.js';
import { scenario as queues } from './queues.js';
import { scenario as receive } from './receive.js';
import { scenario as send } from './send.js';
import { scenario as soak } from './soak.js';
import { scenario as wakeUp } from './wake-up.js';

export const SCENARIOS: readonly Scenario[] = [
  send,
  receive,
  cycle,
  mixed,
  queues,
  payloads,
  batches,
  wakeUp,
  durability,
  backlog,
  soak,
];
