// What the clients of a run saw and nothing else: the checker decides by it alone. All times: performance.now(), ms.
import type { Answer } from '../harness/answer.js';

export type Level = 'primary' | 'quorum' | 'all';
export const LEVELS: readonly Level[] = ['primary', 'quorum', 'all'];

interface Request {
  askedMs: number;
  answeredMs: number;
  /** Index of the worker that was asked. */
  worker: number;
}

/** One SEND. A message that is sent again with `dedup` has several. */
export interface Attempt extends Request {
  /** No two messages of a run have the same id. */
  message: number;
  queue: number;
  level: Level;
  answer: Answer;
}

/** One RECV; refused: nothing waited, or not done. */
export interface Receive extends Request {
  queue: number;
  answer: Answer;
  /** What was delivered. */
  message?: number;
  /** Whether the payload is the one that was sent. */
  intact?: boolean;
  /** The name of the delivery. */
  receipt?: string;
  /** When it was first asked for, in an attempt whose answer was not read: its lease may be as old as that. */
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

/** From the fault to the moment when its direct effects are over. */
export interface FaultWindow {
  name: string;
  fromMs: number;
  toMs: number;
  /**
   * failover: what replicas did not have yet is gone, leases and frees too. worker: requests to workers may hang.
   * ahead, back: Redis's clock jumped; ahead ends leases, and either way the memory of ended messages may be passed over.
   */
  kind: 'failover' | 'worker' | 'ahead' | 'back' | 'other';
}

export interface History {
  leaseMs: number;
  attempts: Attempt[];
  receives: Receive[];
  frees: Free[];
  faults: FaultWindow[];
  /** Answers that no client should ever get: 500, 400, … */
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
