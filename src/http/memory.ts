// One account of the memory that clients make a worker hold: requests that are not answered, replies until the socket has taken
// them, and RECVs that wait. Over its limit requests are refused before anything is done for them.
import type { Logger } from 'pino';
import { BrokerError } from '../errors.js';

/**
 * requests: bodies and what belongs to a request that is not answered yet, its batch's elements included; replies: what RECV and
 * PEEK are bringing or have brought, until it is on the socket; waits: RECVs that wait.
 */
export type MemoryUse = 'requests' | 'replies' | 'waits';

const RETRY_AFTER_S = 1;
/** Refusals are logged no more often than this. */
const LOG_EVERY_MS = 10_000;

export class Memory {
  readonly #taken: Record<MemoryUse, number> = { requests: 0, replies: 0, waits: 0 };
  #total = 0;
  #refused = 0;
  #loggedAtMs = -Infinity;

  /** @param limit bytes */
  constructor(
    readonly limit: number,
    private readonly log: Logger,
  ) {}

  /** @throws BrokerError overloaded, when there is no room for `bytes` more: nothing was taken */
  take(use: MemoryUse, bytes: number): void {
    this.check(bytes);
    this.force(use, bytes);
  }

  /** Counts what is there already. */
  force(use: MemoryUse, bytes: number): void {
    this.#taken[use] += bytes;
    this.#total += bytes;
  }

  give(use: MemoryUse, bytes: number): void {
    this.#taken[use] -= bytes;
    this.#total -= bytes;
  }

  /** @throws BrokerError overloaded, when there would be no room */
  check(bytes: number): void {
    if (this.#total + bytes <= this.limit) return;
    this.#report();
    throw new BrokerError(
      'overloaded',
      `what this worker holds for its clients is over ${this.limit} bytes (AIZUMI_MAX_BYTES_IN_FLIGHT): nothing was done, try again`,
      { outcome: 'not_done', retryAfterS: RETRY_AFTER_S },
    );
  }

  #report(): void {
    this.#refused += 1;
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs < LOG_EVERY_MS) return;
    this.#loggedAtMs = nowMs;
    this.log.warn(
      { limitBytes: this.limit, takenBytes: this.#taken, refused: this.#refused },
      'clients make this worker hold all the memory that they may: requests are answered 503 (AIZUMI_MAX_BYTES_IN_FLIGHT)',
    );
    this.#refused = 0;
  }

  get taken(): Readonly<Record<MemoryUse, number>> {
    return this.#taken;
  }
}
