// Durable writes on one connection: one WAIT confirms all that was written before it, as a Raft leader commits its log.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { BrokerError } from '../errors.js';
import type { Observer } from '../observer.js';
import { connectionAttempt } from './connect.js';

/** How many replicas must have a write, besides the primary. */
export interface Needs {
  enough: number;
  /** Instead of `enough`, while there may be a replica that has not followed this primary (history.ts). */
  every: number;
}

interface Pending {
  readonly write: (redis: Redis) => Promise<unknown>;
  readonly needs: Needs;
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
  /** Whether all replicas have followed the server at the other end of this very connection. */
  #isFollowed = false;

  /**
   * @param timeoutMs a write is answered within this time, one way or the other
   * @param askWhetherFollowed asks on `redis`
   */
  constructor(
    readonly redis: Redis,
    private readonly timeoutMs: number,
    private readonly askWhetherFollowed: () => Promise<boolean>,
    private readonly observer?: Observer,
  ) {
    redis.on('close', () => this.doubtHistory());
  }

  /** The server may have another history than when it was last asked. */
  doubtHistory(): void {
    this.#isFollowed = false;
  }

  /**
   * @param write issues the commands, at once when it is called; what resolves to null has written nothing
   * @returns what `write` resolved to
   * @throws BrokerError not_durable (unknown: it may be there), unavailable; what Redis refused
   */
  commit<T>(write: (redis: Redis) => Promise<T>, needs: Needs): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { write, needs, sinceMs: performance.now(), resolve, reject };
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
    if (!this.#isFollowed && batch.some(({ needs }) => needs.every > needs.enough)) await this.#ask();
    const isFollowed = this.#isFollowed;
    const waitMs = leftMs();
    const replicas = Math.max(...batch.map(({ needs }) => replicasOf(needs, isFollowed)));
    const sentMs = this.observer === undefined ? 0 : performance.now();
    const writes = batch.map(({ write }) => settled(write(this.redis)));
    const [confirmed, ...written] = await Promise.all([settled(this.redis.wait(replicas, waitMs)), ...writes]);
    this.observer?.committed(batch.length, performance.now() - sentMs);
    // all replicas have what was written, and so have followed
    const hasWritten = written.some((outcome) => 'value' in outcome && outcome.value !== null);
    const every = Math.max(...batch.map(({ needs }) => needs.every));
    if (hasWritten && 'value' in confirmed && confirmed.value >= every) this.#isFollowed = true;
    batch.forEach((pending, i) => answer(pending, written[i] as Settled<unknown>, confirmed, isFollowed));
  }

  async #ask(): Promise<void> {
    let isSameConnection = true;
    const broken = (): void => void (isSameConnection = false);
    this.redis.once('close', broken);
    // who cannot answer will not take the batch either
    const isFollowed = await this.askWhetherFollowed().catch(() => false);
    this.redis.off('close', broken);
    this.#isFollowed = isFollowed && isSameConnection;
  }
}

type Settled<T> = { value: T } | { error: unknown };

const settled = <T>(promise: Promise<T>): Promise<Settled<T>> =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );

const replicasOf = ({ enough, every }: Needs, isFollowed: boolean): number =>
  isFollowed ? enough : Math.max(enough, every);

function answer(
  { needs, resolve, reject }: Pending,
  written: Settled<unknown>,
  confirmed: Settled<number>,
  isFollowed: boolean,
): void {
  const replicas = replicasOf(needs, isFollowed);
  if ('error' in written) reject(written.error);
  else if (written.value === null) resolve(null);
  else if ('error' in confirmed)
    reject(notDurable('the connection broke before the replicas confirmed', confirmed.error));
  else if (confirmed.value < replicas)
    reject(
      notDurable(
        replicas === needs.enough
          ? `${confirmed.value} of ${replicas} replicas confirmed in time`
          : `${confirmed.value} of ${replicas} replicas confirmed in time, and all must until each has followed this primary`,
      ),
    );
  else resolve(written.value);
}

const notDurable = (why: string, cause?: unknown): BrokerError =>
  new BrokerError(
    'not_durable',
    `${why}: the message may be there; sent again it may be there twice, unless both times with "dedup": true`,
    { outcome: 'unknown', retryAfterS: 1, cause },
  );
