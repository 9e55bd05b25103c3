// One account of the memory that clients make a worker hold: connections, requests that are not answered, replies until the
// socket has taken them, and RECVs that wait. Over its limit requests are refused before anything is done for them.
import type { Logger } from 'pino';
import { RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';

/**
 * connections: those that are open, with the headers that have come; requests: bodies and what belongs to a request that is not
 * answered yet, its batch's elements included; replies: what RECV and PEEK are bringing or have brought, until it is on the
 * socket; waits: RECVs that wait.
 */
export type MemoryUse = 'connections' | 'requests' | 'replies' | 'waits';

/** Refusals are logged no more often than this. */
const LOG_EVERY_MS = 10_000;

const none = (): Record<MemoryUse, number> => ({ connections: 0, requests: 0, replies: 0, waits: 0 });

export class Memory {
  readonly #taken = none();
  #total = 0;
  readonly #accounts = new Map<string, Account>();
  #refused = 0;
  #loggedAtMs = -Infinity;

  /** @param limit bytes */
  constructor(
    readonly limit: number,
    private readonly log: Logger,
  ) {}

  /** What this client makes the worker hold. Good until it has given back all that it took. */
  of(who: string): Account {
    return this.#accounts.get(who) ?? new Account(this, who);
  }

  /** As large, for something that has a limit of its own. */
  another(): Memory {
    return new Memory(this.limit, this.log);
  }

  get free(): number {
    return this.limit - this.#total;
  }

  get taken(): Readonly<Record<MemoryUse, number>> {
    return this.#taken;
  }

  /** For accounts: `taken` is what that one holds now. */
  count(account: Account, use: MemoryUse, bytes: number): void {
    this.#taken[use] += bytes;
    this.#total += bytes;
    if (account.taken === 0) this.#accounts.delete(account.who);
    else if (account.taken === bytes) this.#accounts.set(account.who, account);
  }

  /** For accounts. @throws BrokerError overloaded */
  refuse(what: string): never {
    this.#report();
    throw new BrokerError(
      'overloaded',
      `${what} ${this.limit} bytes (AIZUMI_MAX_BYTES_IN_FLIGHT): nothing was done, try again`,
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
}

/**
 * What one client makes the worker hold. It may hold as much as it leaves free: one alone has half of the memory, two that want
 * all have a third each, and there is always room for who holds little (the dynamic thresholds of Choudhury and Hahne, 1998, for
 * buffers of a switch).
 */
export class Account {
  #taken = 0;

  constructor(
    private readonly memory: Memory,
    readonly who: string,
  ) {}

  /** @throws BrokerError overloaded, when there is no room for `bytes` more: nothing was taken */
  take(use: MemoryUse, bytes: number): void {
    this.check(bytes);
    this.force(use, bytes);
  }

  /** Counts what is there already. */
  force(use: MemoryUse, bytes: number): void {
    this.#taken += bytes;
    this.memory.count(this, use, bytes);
  }

  give(use: MemoryUse, bytes: number): void {
    this.force(use, -bytes);
  }

  /** @throws BrokerError overloaded, when there would be no room */
  check(bytes: number): void {
    const { free } = this.memory;
    if (this.#taken + bytes <= free) return;
    if (bytes > free) this.memory.refuse('what this worker holds for its clients is over');
    this.memory.refuse('what this worker holds for you is more than it has left for others, of');
  }

  get taken(): number {
    return this.#taken;
  }

  /** For so much there is always room for the request of who is alone, and holds the largest body. */
  get mostAtOnce(): number {
    return this.memory.limit / 4;
  }
}
