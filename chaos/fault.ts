// What a fault is, and whom it strikes.
import type { Stack } from '../harness/stacks.js';
import type { FaultWindow } from './history.js';
import type { Random } from '../harness/random.js';
import type { ChaosWorker } from './workers.js';

export interface Victims {
  stack: Stack;
  workers: readonly ChaosWorker[];
  random: Random;
  /** Addresses that are sent to. */
  queues: readonly number[];
  /** Has the senders that were silent until now send for a while: see LoadOptions' `idle`. */
  wake: () => void;
}

export interface Fault {
  kind: FaultWindow['kind'];
  /** More nodes die than the deployment is made for: no time is promised, only that nothing confirmed is lost. */
  majorityDies?: true;
  /** @returns why the servers of this stack cannot do it; undefined when they can */
  unknown?(stack: Stack): Promise<string | undefined>;
  /** @param window of this fault, for one that turns out to be of another kind */
  strike(victims: Victims, window: FaultWindow): Promise<void>;
}
