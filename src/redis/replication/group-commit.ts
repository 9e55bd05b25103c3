// Group commit of durable writes on one connection: one WAIT confirms all writes before it, as a Raft leader commits its log.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { withTimeout } from '../../timing/timeout.js';
import { nodeName } from '../connect/cluster.js';
import { connectionAttempt } from '../connect/connect.js';
import { offsetIn, replicasOf } from './node-report.js';
import { NOT_SENT } from '../private-api.js';

/** How many replicas must have a write, besides the primary. */
export interface Needs {
  /** How many must confirm at least. */
  enough: number;
  /** How many are known. If all of them confirm, no node without the write can have been promoted. */
  every: number;
  /** The latest time at which every replica was known to have all writes; performance.now(), ms. */
  allSyncedMs: number;
  /** Whether to wait up to {@link PATIENCE_MS} for more replicas than `enough`: for all, or for those that confirmed last. */
  awaitsMore: boolean;
}

export interface GroupCommitOptions {
  /** A write succeeds or fails within this time. */
  timeoutMs: number;
  needs: () => Needs;
  /** Checks, on this connection, whether all replicas have caught up on the lineage of the server at its other end. */
  isCaughtUp: () => Promise<boolean>;
  /** @returns why a batch that not all replicas confirmed must not be acknowledged; '' if it may be */
  checkFence: () => Promise<string>;
  /** A primary that falls silent for longer may be replaced, ms. */
  downAfterMs: () => number;
  observer?: Observer | undefined;
}

interface Confirmation {
  /** Why the batch is not confirmed; '' if it is. */
  doubt: string;
  /** All known replicas have the batch. */
  byAll?: boolean;
}

interface Pending {
  readonly write: (redis: Redis) => Promise<unknown>;
  readonly sinceMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Part of the timeout that WAIT may use; the rest is for its reply to arrive. */
const WAIT_SHARE = 0.85;
const SHORTEST_WAIT_MS = 20;
/** A write that is older than this when it arrives is a retry. */
const RETRIED_MS = 20;
/** How long a batch waits for a connection; not longer, since the next batch may hold a write that has less time left. */
const CONNECT_MS = 100;
/** How long a batch waits for more replicas than it needs. */
const PATIENCE_MS = 100;
/** A clearance ends after this time, or after half of down-after if that is shorter. */
const LONGEST_CLEARANCE_MS = 500;
/** A clearance is renewed, in the background, at this part of its life, so that a hung node delays no batch. */
const RENEW_SHARE = 0.25;
const BROKEN = 'the connection broke before the replicas confirmed';

/**
 * Sends batches: all writes that arrived while the previous batch was being confirmed, followed by one WAIT.
 * WAIT counts what the same connection wrote before it. Both are sent in one turn of the event loop, so that no reconnection can
 * come between them. If the connection breaks before WAIT's reply, the outcome of the batch is unknown.
 */
export class GroupCommit {
  #queue: Pending[] = [];
  #committing = false;
  /** Whether all replicas have caught up on the lineage of the server at the other end of this very connection. */
  #isCaughtUp = false;
  /** Identifies the connection: a new object after each reconnection. */
  #connection: object = {};
  /** When a wait for all replicas last ended without all of them; performance.now(), ms. */
  #missedMs = -Infinity;
  readonly #clearance: Clearance;
  #connecting: Promise<void> | undefined;

  constructor(
    readonly redis: Redis,
    private readonly options: GroupCommitOptions,
  ) {
    this.#clearance = new Clearance(options.checkFence);
    redis.on('close', () => {
      this.#connection = {};
      this.#clearance.end();
      this.doubtLineage();
    });
  }

  /** To be called when the server may have begun another replication lineage. */
  doubtLineage(): void {
    this.#isCaughtUp = false;
  }

  /**
   * @param write issues its commands at once when it is called, and resolves to null if it wrote nothing
   * @param sinceMs when its request arrived; performance.now(), ms
   * @returns what `write` resolved to
   * @throws BrokerError not_durable (outcome unknown), unavailable; or the error with which Redis refused the write
   */
  commit<T>(write: (redis: Redis) => Promise<T>, sinceMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { write, sinceMs, resolve, reject };
      this.#queue.push(pending as Pending);
      if (performance.now() - sinceMs > RETRIED_MS) this.#expire(pending as Pending);
      if (!this.#committing) this.#next();
    });
  }

  /** Rejects a retried write when its time is up: the batch before it may take longer than the write has left. */
  #expire(pending: Pending): void {
    const leftMs = pending.sinceMs + this.options.timeoutMs * WAIT_SHARE - performance.now();
    setTimeout(
      () => {
        if (!this.#queue.includes(pending)) return;
        this.#queue = this.#queue.filter((each) => each !== pending);
        pending.reject(new Error(NOT_SENT));
      },
      Math.max(0, leftMs),
    ).unref();
  }

  #next(): void {
    this.#committing = this.#queue.length > 0;
    if (!this.#committing) return;
    const batch = this.#queue;
    this.#queue = [];
    void this.#send(batch).then(() => this.#next());
  }

  async #send(batch: Pending[]): Promise<void> {
    const { timeoutMs, needs, observer } = this.options;
    const sinceMs = Math.min(...batch.map((pending) => pending.sinceMs));
    const leftMs = (): number =>
      Math.max(SHORTEST_WAIT_MS, Math.round(timeoutMs * WAIT_SHARE - performance.now() + sinceMs));
    // without a connection in time the writes fail, certainly not executed, and may be retried (detours.ts)
    if (this.redis.status !== 'ready') {
      this.#connecting ??= connectionAttempt(this.redis).finally(() => (this.#connecting = undefined));
      await Promise.race([this.#connecting, sleep(CONNECT_MS, undefined, { ref: false })]);
    }
    if (!this.#isCaughtUp && needs().every > needs().enough) await this.#askLineage();
    const sentMs = performance.now();
    const writes = batch.map(({ write }) => settled(write(this.redis)));
    const [confirmation, ...written] = await Promise.all([settled(this.#confirm(leftMs)), ...writes]);
    observer?.committed(batch.length, performance.now() - sentMs);
    // replicas that confirmed a write have caught up on this lineage
    const hasWritten = written.some((outcome) => 'value' in outcome && outcome.value !== null);
    if (hasWritten && 'value' in confirmation && confirmation.value.byAll) this.#isCaughtUp = true;
    batch.forEach((pending, i) => answer(pending, written[i] as Settled<unknown>, confirmation));
  }

  /** Waits until replicas confirm what was just written. It sends WAIT at once, in the same turn as the writes. */
  async #confirm(leftMs: () => number): Promise<Confirmation> {
    const { enough, every, allSyncedMs, awaitsMore } = this.options.needs();
    const connection = this.#connection;
    const least = this.#isCaughtUp ? enough : every;
    const areAllSynced = allSyncedMs > this.#missedMs || this.#missedMs === -Infinity;
    const isForAll = awaitsMore && areAllSynced && least < every;
    // otherwise wait for as many as confirmed last: a replica that no longer confirms may have been promoted
    const present = awaitsMore ? Math.min(this.#clearance.confirmers, every) : least;
    const wanted = isForAll ? every : Math.max(least, present);
    const waitMs = wanted > least ? Math.min(PATIENCE_MS, leftMs()) : leftMs();
    // in the same packet: Redis executes what a client has sent in one go, so nothing comes between the writes, INFO and WAIT
    const before = wanted < every ? this.redis.info('replication') : undefined;
    const waiting = this.redis.wait(wanted, waitMs);
    const after = wanted < every ? this.redis.info('replication') : undefined;
    const [infoBefore, first, infoAfter] = await Promise.all([before, waiting, after]);
    let confirmed = first;
    if (confirmed < least && wanted > least && connection === this.#connection)
      confirmed = await this.redis.wait(least, leftMs());
    // on a new connection WAIT counts none of these writes
    if (connection !== this.#connection) return { doubt: BROKEN };
    const repliedMs = performance.now();
    this.#clearance.primaryReplied(repliedMs, this.#clearanceMs);
    if (confirmed >= every) return { doubt: '', byAll: true };
    if (isForAll) {
      this.#clearance.end(); // the missing replica has only just stopped confirming
      this.#missedMs = repliedMs;
    }
    if (confirmed < least)
      return {
        doubt:
          least === enough
            ? `${confirmed} of ${least} replicas confirmed in time`
            : `${confirmed} of ${least} replicas confirmed in time, and all must until each has caught up with this primary`,
      };
    const confirmers = confirmersIn(infoBefore, infoAfter);
    const why = await withTimeout(leftMs(), this.#clearance.at(repliedMs, this.#clearanceMs, confirmers));
    if (connection !== this.#connection) return { doubt: BROKEN };
    if (why === '') return { doubt: '' };
    const reason = why ?? 'it could not be shown in time that no other node leads';
    return { doubt: `${confirmed} of ${every} replicas confirmed, and ${reason}` };
  }

  get #clearanceMs(): number {
    return Math.min(LONGEST_CLEARANCE_MS, this.options.downAfterMs() / 2);
  }

  async #askLineage(): Promise<void> {
    const connection = this.#connection;
    // a server that does not answer this will not execute the batch either
    const isCaughtUp = await this.options.isCaughtUp().catch(() => false);
    this.#isCaughtUp = isCaughtUp && connection === this.#connection;
  }
}

/** Names of the replicas that have certainly confirmed everything written before the first INFO. */
function confirmersIn(before: string | undefined, after: string | undefined): string[] {
  const writtenTo = before === undefined ? Infinity : offsetIn(before);
  const certain = replicasOf(after ?? '').filter(({ offset }) => offset >= writtenTo);
  // a name that no replica has, so that this clearance does not hold for any batch confirmed by named replicas
  return certain.length === 0 ? ['unknown'] : certain.map(nodeName);
}

/**
 * Remembers that no other node leads, for as long as no node can have been elected since: a fail-over begins after the primary
 * has been silent for down-after, or when a person orders it. A clearance holds for batches that at least the same replicas have
 * confirmed, since a replica that no longer confirms may have been promoted.
 */
class Clearance {
  /** When the last check that found no other leader began; performance.now(), ms. */
  #clearedMs = -Infinity;
  /** Which replicas confirmed the last batch that was checked. */
  #confirmers: readonly string[] = [];
  #repliedMs = -Infinity;
  #checking: Promise<string> | undefined;

  constructor(private readonly check: () => Promise<string>) {}

  /** How many replicas confirmed the last batch that was checked. */
  get confirmers(): number {
    return this.#confirmers.length;
  }

  /** Ends the clearance, and discards the result of a check that is under way. */
  end(): void {
    this.#clearedMs = -Infinity;
    this.#checking = undefined;
  }

  /** To be called at each reply of the primary: after too long a silence another node may have been elected. */
  primaryReplied(nowMs: number, holdsMs: number): void {
    if (nowMs - this.#repliedMs > holdsMs) this.end();
    this.#repliedMs = nowMs;
  }

  /**
   * Checks that no other node led at `timeMs`.
   * @param confirmers names of the replicas that confirmed the batch
   * @returns why that is not certain; '' if it is
   */
  async at(timeMs: number, holdsMs: number, confirmers: readonly string[]): Promise<string> {
    for (;;) {
      if (!this.#confirmers.every((name) => confirmers.includes(name))) this.end();
      this.#confirmers = confirmers;
      const ageMs = timeMs - this.#clearedMs;
      if (ageMs > holdsMs * RENEW_SHARE) this.#checking ??= this.#start();
      if (ageMs < holdsMs) return '';
      const doubt = await (this.#checking as Promise<string>);
      if (doubt !== '') return doubt;
    }
  }

  #start(): Promise<string> {
    const startedMs = performance.now();
    const checking = this.check().then((doubt) => {
      if (this.#checking !== checking) return 'the primary or a replica fell silent during the check';
      this.#checking = undefined;
      this.#clearedMs = doubt === '' ? startedMs : -Infinity;
      return doubt;
    });
    return checking;
  }
}

type Settled<T> = { value: T } | { error: unknown };

const settled = <T>(promise: Promise<T>): Promise<Settled<T>> =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );

function answer({ resolve, reject }: Pending, written: Settled<unknown>, confirmation: Settled<Confirmation>): void {
  if ('error' in written) reject(written.error);
  else if (written.value === null) resolve(null);
  else if ('error' in confirmation) reject(notDurable(BROKEN, confirmation.error));
  else if (confirmation.value.doubt === '') resolve(written.value);
  else reject(notDurable(confirmation.value.doubt));
}

const notDurable = (why: string, cause?: unknown): BrokerError =>
  new BrokerError(
    'not_durable',
    `${why}: the message may be there; sent again it may be there twice, unless both times with "dedup": true`,
    { outcome: 'unknown', retryAfterS: 1, cause },
  );
