// The type of a fault, and what it acts on.
import type { Stack } from '../harness/stacks.js';
import type { FaultWindow } from './history.js';
import type { Random } from '../harness/random.js';
import type { ChaosWorker } from './workers.js';

export interface Victims {
  stack: Stack;
  workers: readonly ChaosWorker[];
  random: Random;
  /** Addresses that messages are sent to. */
  queues: readonly number[];
  /** Makes the silent senders send for a while: see `idle` of LoadOptions. */
  wake: () => void;
}

export interface Fault {
  kind: FaultWindow['kind'];
  /** More nodes fail than the deployment tolerates: only confirmed messages are guaranteed, not when service resumes. */
  majorityDies?: true;
  /** @returns why the servers of this stack cannot do it; undefined if they can */
  unknown?(stack: Stack): Promise<string | undefined>;
  /** @param window of this fault, whose kind may turn out to be another */
  strike(victims: Victims, window: FaultWindow): Promise<void>;
}
