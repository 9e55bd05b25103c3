// What the clients of a run observed, on which alone the checker decides. All times are performance.now(), in ms.
import type { Answer } from '../harness/answer.js';

export type Level = 'primary' | 'quorum' | 'all';
export const LEVELS: readonly Level[] = ['primary', 'quorum', 'all'];

interface Request {
  askedMs: number;
  answeredMs: number;
  /** Index of the worker that was asked. */
  worker: number;
}

/** One SEND. A message that is repeated with `dedup` has several. */
export interface Attempt extends Request {
  /** No two messages of a run have the same id. */
  message: number;
  queue: number;
  level: Level;
  answer: Answer;
}

/** One RECV; `refused` if the queue was empty, or the RECV not done. */
export interface Receive extends Request {
  queue: number;
  answer: Answer;
  /** The delivered message. */
  message?: number;
  /** Whether the payload is the one that was sent. */
  intact?: boolean;
  /** The receipt of the delivery. */
  receipt?: string;
  /** Time of the first attempt, whose reply was not read: the lease may have begun then. */
  sinceMs?: number;
}

export type Delivery = Receive & { message: number };

/** One FREE. */
export interface Free extends Request {
  queue: number;
  message: number;
  answer: Answer;
  /** It frees this delivery and no other. */
  receipt?: string;
  /** Refused because that delivery is over. */
  leaseLost?: boolean;
}

/** From the fault until its direct effects have ended. */
export interface FaultWindow {
  name: string;
  fromMs: number;
  toMs: number;
  /**
   * failover: writes that replicas did not have are lost, including leases and FREEs. worker: requests to workers may hang.
   * ahead, back: Redis's clock jumped; ahead ends leases, and in both cases deduplication may fail for ended messages.
   */
  kind: 'failover' | 'worker' | 'ahead' | 'back' | 'other';
}

export interface History {
  leaseMs: number;
  attempts: Attempt[];
  receives: Receive[];
  frees: Free[];
  faults: FaultWindow[];
  /** Replies that no client should ever get: 500, 400, … */
  strange: string[];
}

export const emptyHistory = (leaseMs: number): History => ({
  leaseMs,
  attempts: [],
  receives: [],
  frees: [],
  faults: [],
  strange: [],
});

export const overlaps = (fault: FaultWindow, fromMs: number, toMs: number): boolean =>
  fault.fromMs <= toMs && fault.toMs >= fromMs;

export function groupBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
