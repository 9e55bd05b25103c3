// Durable writes on one connection: one WAIT confirms all that was written before it, as a Raft leader commits its log.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { BrokerError } from '../errors.js';
import { connectionAttempt } from './connect.js';

interface Pending {
  readonly write: (redis: Redis) => Promise<unknown>;
  readonly replicas: number;
  readonly sinceMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Part of the time allowed that WAIT may use; the rest is for its answer to arrive. */
const WAIT_SHARE = 0.85;
const SHORTEST_WAIT_MS = 20;

/**
 * Sends batches: all writes that came in while the batch before was confirmed, and one WAIT behind them.
 * WAIT counts what the same connection wrote before it; both leave in one turn of the event loop, so that no reconnection
 * can come between. A connection that breaks before WAIT's answer means that nothing is known of the batch.
 */
export class GroupCommit {
  #queue: Pending[] = [];
  #committing = false;

  /** @param timeoutMs a write is answered within this time, one way or the other */
  constructor(
    readonly redis: Redis,
    private readonly timeoutMs: number,
  ) {}

  /**
   * @param write issues the commands, at once when it is called; what resolves to null has written nothing
   * @param replicas how many must have it, besides the primary
   * @returns what `write` resolved to
   * @throws BrokerError not_durable (unknown: it may be there), unavailable; what Redis refused
   */
  commit<T>(write: (redis: Redis) => Promise<T>, replicas: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { write, replicas, sinceMs: performance.now(), resolve, reject };
      this.#queue.push(pending as Pending);
      if (!this.#committing) this.#next();
    });
  }

  #next(): void {
    this.#committing = this.#queue.length > 0;
    if (!this.#committing) return;
    const batch = this.#queue;
    this.#queue = [];
    void this.#send(batch).then(() => this.#next());
  }

  async #send(batch: Pending[]): Promise<void> {
    const sinceMs = (batch[0] as Pending).sinceMs;
    const leftMs = (): number =>
      Math.max(SHORTEST_WAIT_MS, Math.round(this.timeoutMs * WAIT_SHARE - performance.now() + sinceMs));
    // without a connection in time the writes are refused, and nothing was done
    if (this.redis.status !== 'ready')
      await Promise.race([connectionAttempt(this.redis), sleep(leftMs(), undefined, { ref: false })]);
    const waitMs = leftMs();
    const replicas = Math.max(...batch.map((pending) => pending.replicas));
    const writes = batch.map(({ write }) => settled(write(this.redis)));
    const [confirmed, ...written] = await Promise.all([settled(this.redis.wait(replicas, waitMs)), ...writes]);
    batch.forEach((pending, i) => answer(pending, written[i] as Settled<unknown>, confirmed));
  }
}

type Settled<T> = { value: T } | { error: unknown };

const settled = <T>(promise: Promise<T>): Promise<Settled<T>> =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );

function answer({ replicas, resolve, reject }: Pending, written: Settled<unknown>, confirmed: Settled<number>): void {
  if ('error' in written) reject(written.error);
  else if (written.value === null) resolve(null);
  else if ('error' in confirmed)
    reject(notDurable('the connection broke before the replicas confirmed', confirmed.error));
  else if (confirmed.value < replicas)
    reject(notDurable(`${confirmed.value} of ${replicas} replicas confirmed in time`));
  else resolve(written.value);
}

const notDurable = (why: string, cause?: unknown): BrokerError =>
  new BrokerError(
    'not_durable',
    `${why}: the message may be there; sent again it may be there twice, unless both times with "dedup": true`,
    { outcome: 'unknown', retryAfterS: 1, cause },
  );
