// One account of the memory that a worker uses for its clients: connections, unanswered requests, replies until the socket has
// taken them, and waiting RECVs. Over its limit, requests are refused before anything is done for them.
import type { Logger } from 'pino';
import { MAX_CLIENT_REPLY_BYTES, RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';

/**
 * connections: open ones, with the headers received so far; requests: bodies, and the objects of each unanswered request, also in
 * a batch; replies: messages that RECV and PEEK have reserved or fetched, until the socket has taken them; waits: waiting RECVs.
 */
export type MemoryUse = 'connections' | 'requests' | 'replies' | 'waits';

/** Refusals are logged at most once in this time. */
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

  /** @returns the client's account; it must be fetched anew once everything was given back */
  of(who: string): Account {
    return this.#accounts.get(who) ?? new Account(this, who);
  }

  /** @returns an empty one with the same limit */
  another(): Memory {
    return new Memory(this.limit, this.log);
  }

  get free(): number {
    return this.limit - this.#total;
  }

  get taken(): Readonly<Record<MemoryUse, number>> {
    return this.#taken;
  }

  /** To be called by accounts, when `account.taken` has changed by `bytes`. */
  count(account: Account, use: MemoryUse, bytes: number): void {
    this.#taken[use] += bytes;
    this.#total += bytes;
    if (account.taken === 0) this.#accounts.delete(account.who);
    else if (account.taken === bytes) this.#accounts.set(account.who, account);
  }

  /** To be called by accounts. @throws BrokerError overloaded */
  refuse(what: string): never {
    this.#report();
    throw new BrokerError('overloaded', `${what}: nothing was done, try again`, {
      outcome: 'not_done',
      retryAfterS: RETRY_AFTER_S,
    });
  }

  #report(): void {
    this.#refused += 1;
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs < LOG_EVERY_MS) return;
    this.#loggedAtMs = nowMs;
    this.log.warn(
      { limitBytes: this.limit, takenBytes: this.#taken, refused: this.#refused },
      'memory for clients, or for the replies of one, is full: requests are answered 503 (AIZUMI_MAX_BYTES_IN_FLIGHT)',
    );
    this.#refused = 0;
  }
}

/**
 * The memory that a worker uses for one client. A client may use as much as is left free: one alone may use half of the memory,
 * two that want all of it a third each, and there is always room for a client that uses little (the dynamic thresholds of
 * Choudhury and Hahne, 1998, for the buffers of a switch).
 */
export class Account {
  #taken = 0;
  #replies = 0;

  constructor(
    private readonly memory: Memory,
    readonly who: string,
  ) {}

  /** @throws BrokerError overloaded, when there is no room for `bytes` more: nothing was taken */
  take(use: MemoryUse, bytes: number): void {
    this.check(bytes, use);
    this.force(use, bytes);
  }

  /** Counts memory that is already in use. */
  force(use: MemoryUse, bytes: number): void {
    this.#taken += bytes;
    if (use === 'replies') this.#replies += bytes;
    this.memory.count(this, use, bytes);
  }

  give(use: MemoryUse, bytes: number): void {
    this.force(use, -bytes);
  }

  /** @throws BrokerError overloaded, when there is no room for `bytes` more */
  check(bytes: number, use?: MemoryUse): void {
    const { free, limit } = this.memory;
    if (use === 'replies' && this.#replies + bytes > MAX_CLIENT_REPLY_BYTES)
      this.memory.refuse(
        `your replies that are under way take ${MAX_CLIENT_REPLY_BYTES} bytes, the most for one client`,
      );
    if (this.#taken + bytes <= free) return;
    const most = `${limit} bytes (AIZUMI_MAX_BYTES_IN_FLIGHT)`;
    if (bytes > free) this.memory.refuse(`what this worker holds for its clients is over ${most}`);
    this.memory.refuse(`what this worker holds for you is more than it has left for others, of ${most}`);
  }

  get taken(): number {
    return this.#taken;
  }

  /** Bytes for which a client that is alone has room, even while it sends the largest body. */
  get mostAtOnce(): number {
    return this.memory.limit / 4;
  }
}
