// Durable writes on one connection: one WAIT confirms all that was written before it, as a Raft leader commits its log.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { within } from '../../timing/timeout.js';
import { nodeName } from '../connect/cluster.js';
import { connectionAttempt } from '../connect/connect.js';
import { offsetIn, replicasOf } from './node-report.js';
import { NOT_SENT } from '../private-api.js';

/** How many replicas must have a write, besides the primary. */
export interface Needs {
  /** Least. */
  enough: number;
  /** All that are known. When as many confirm, nobody can have been promoted without the write. */
  every: number;
  /** At that time every replica had all that there was; performance.now(), ms. */
  wholeMs: number;
  /** Whether replicas beyond `enough` are waited for, for {@link PATIENCE_MS} at most: all, or those that confirmed last. */
  isPatient: boolean;
}

export interface GroupCommitOptions {
  /** A write is answered within this time, one way or the other. */
  timeoutMs: number;
  needs: () => Needs;
  /** Asks on the connection itself whether all replicas have followed the server at its other end. */
  isCaughtUp: () => Promise<boolean>;
  /** Asks why a batch that not all replicas confirmed must not be acknowledged; '': it may be. */
  checkFence: () => Promise<string>;
  /** A primary that falls silent for longer may be replaced, ms. */
  downAfterMs: () => number;
  observer?: Observer | undefined;
}

interface Confirmation {
  /** Why a batch is not confirmed; '': it is. */
  doubt: string;
  /** All known replicas have it. */
  byAll?: boolean;
}

interface Pending {
  readonly write: (redis: Redis) => Promise<unknown>;
  readonly sinceMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Part of the time allowed that WAIT may use; the rest is for its answer to arrive. */
const WAIT_SHARE = 0.85;
const SHORTEST_WAIT_MS = 20;
/** A write that is this old when it comes was refused before. */
const RETRIED_MS = 20;
/** A batch waits for a connection for this long: in the next there may be one that has less time left. */
const CONNECT_MS = 100;
/** So long replicas beyond those that are needed are waited for. */
const PATIENCE_MS = 100;
/** An answer about who leads holds for no longer, and for no longer than half of down-after. */
const LONGEST_CLEARANCE_MS = 500;
/** It is asked anew at that part of its time, so that a node that hangs holds nobody up. */
const RENEW_SHARE = 0.25;
const BROKEN = 'the connection broke before the replicas confirmed';

/**
 * Sends batches: all writes that came in while the batch before was confirmed, and one WAIT behind them.
 * WAIT counts what the same connection wrote before it; both leave in one turn of the event loop, so that no reconnection
 * can come between. A connection that breaks before WAIT's answer means that nothing is known of the batch.
 */
export class GroupCommit {
  #queue: Pending[] = [];
  #committing = false;
  /** Whether all replicas have followed the server at the other end of this very connection. */
  #isCaughtUp = false;
  /** Another with each connection. */
  #connection: object = {};
  /** When all replicas were last waited for and did not confirm; performance.now(), ms. */
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

  /** The server may have another replication lineage than when it was last asked. */
  doubtLineage(): void {
    this.#isCaughtUp = false;
  }

  /**
   * @param write issues the commands, at once when it is called; what resolves to null has written nothing
   * @param sinceMs when its request came; performance.now(), ms
   * @returns what `write` resolved to
   * @throws BrokerError not_durable (unknown: it may be there), unavailable; what Redis refused
   */
  commit<T>(write: (redis: Redis) => Promise<T>, sinceMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { write, sinceMs, resolve, reject };
      this.#queue.push(pending as Pending);
      if (performance.now() - sinceMs > RETRIED_MS) this.#expire(pending as Pending);
      if (!this.#committing) this.#next();
    });
  }

  /** A write that is retried has less time left than the batch before it may take. */
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
    // without a connection in time the writes are refused, nothing was done, and they may come again (detours.ts)
    if (this.redis.status !== 'ready') {
      this.#connecting ??= connectionAttempt(this.redis).finally(() => (this.#connecting = undefined));
      await Promise.race([this.#connecting, sleep(CONNECT_MS, undefined, { ref: false })]);
    }
    if (!this.#isCaughtUp && needs().every > needs().enough) await this.#askLineage();
    const sentMs = performance.now();
    const writes = batch.map(({ write }) => settled(write(this.redis)));
    const [confirmation, ...written] = await Promise.all([settled(this.#confirm(leftMs)), ...writes]);
    observer?.committed(batch.length, performance.now() - sentMs);
    // all replicas have what was written, and so have followed
    const hasWritten = written.some((outcome) => 'value' in outcome && outcome.value !== null);
    if (hasWritten && 'value' in confirmation && confirmation.value.byAll) this.#isCaughtUp = true;
    batch.forEach((pending, i) => answer(pending, written[i] as Settled<unknown>, confirmation));
  }

  /** Waits for the replicas behind what was just written; WAIT leaves at once. */
  async #confirm(leftMs: () => number): Promise<Confirmation> {
    const { enough, every, wholeMs, isPatient } = this.options.needs();
    const connection = this.#connection;
    const least = this.#isCaughtUp ? enough : every;
    const isWhole = wholeMs > this.#missedMs || this.#missedMs === -Infinity;
    const isForAll = isPatient && isWhole && least < every;
    // otherwise for those that confirmed last: one that stops to may have been promoted
    const present = isPatient ? Math.min(this.#clearance.confirmers, every) : least;
    const wanted = isForAll ? every : Math.max(least, present);
    const waitMs = wanted > least ? Math.min(PATIENCE_MS, leftMs()) : leftMs();
    // in the same packet; nothing comes between the writes, this and WAIT: Redis carries out what a client has sent in one go
    const before = wanted < every ? this.redis.info('replication') : undefined;
    const waiting = this.redis.wait(wanted, waitMs);
    const after = wanted < every ? this.redis.info('replication') : undefined;
    const [infoBefore, first, infoAfter] = await Promise.all([before, waiting, after]);
    let confirmed = first;
    if (confirmed < least && wanted > least && connection === this.#connection)
      confirmed = await this.redis.wait(least, leftMs());
    // on another connection WAIT counts nothing of what was written
    if (connection !== this.#connection) return { doubt: BROKEN };
    const repliedMs = performance.now();
    this.#clearance.heard(repliedMs, this.#clearanceMs);
    if (confirmed >= every) return { doubt: '', byAll: true };
    if (isForAll) {
      this.#clearance.end(); // who is missing has only just gone
      this.#missedMs = repliedMs;
    }
    if (confirmed < least)
      return {
        doubt:
          least === enough
            ? `${confirmed} of ${least} replicas confirmed in time`
            : `${confirmed} of ${least} replicas confirmed in time, and all must until each has followed this primary`,
      };
    const who = confirmersIn(infoBefore, infoAfter);
    const why = await within(leftMs(), this.#clearance.at(repliedMs, this.#clearanceMs, who));
    if (connection !== this.#connection) return { doubt: BROKEN };
    if (why === '') return { doubt: '' };
    return {
      doubt: `${confirmed} of ${every} replicas confirmed, and ${why ?? 'it could not be shown in time that no other node leads'}`,
    };
  }

  get #clearanceMs(): number {
    return Math.min(LONGEST_CLEARANCE_MS, this.options.downAfterMs() / 2);
  }

  async #askLineage(): Promise<void> {
    const connection = this.#connection;
    // who cannot answer will not take the batch either
    const isCaughtUp = await this.options.isCaughtUp().catch(() => false);
    this.#isCaughtUp = isCaughtUp && connection === this.#connection;
  }
}

/** The replicas that have confirmed what was written before the first INFO, for certain. */
function confirmersIn(before: string | undefined, after: string | undefined): string[] {
  const writtenTo = before === undefined ? Infinity : offsetIn(before);
  const certain = replicasOf(after ?? '').filter(({ offset }) => offset >= writtenTo);
  // an answer that was found for nobody in particular holds for no other batch
  return certain.length === 0 ? ['unknown'] : certain.map(nodeName);
}

/**
 * Remembers that no other node leads, for as long as nobody can have been elected since: a fail-over takes a primary that has
 * been silent for down-after, or a person. It holds for batches that the same replicas have confirmed, and perhaps more: one that
 * has stopped to confirm may have been promoted.
 */
class Clearance {
  /** When the last check that found nothing began; performance.now(), ms. */
  #clearedMs = -Infinity;
  /** Who confirmed the last batch that was asked about. */
  #confirmers: readonly string[] = [];
  #heardMs = -Infinity;
  #checking: Promise<string> | undefined;

  constructor(private readonly check: () => Promise<string>) {}

  /** How many they were. */
  get confirmers(): number {
    return this.#confirmers.length;
  }

  /** What was found holds no longer, nor what is being found. */
  end(): void {
    this.#clearedMs = -Infinity;
    this.#checking = undefined;
  }

  /** The primary has answered. After a silence anything may have happened. */
  heard(nowMs: number, holdsMs: number): void {
    if (nowMs - this.#heardMs > holdsMs) this.end();
    this.#heardMs = nowMs;
  }

  /**
   * Why it is not certain that nobody else led at that time; '' when it is.
   * @param confirmers of a batch
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
      if (this.#checking !== checking) return 'the primary fell silent, or a replica, while the others were asked';
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
