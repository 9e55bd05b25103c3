// What each client has of the broker, as far as this worker knows: bytes that it has stored, and queues that it has made.
import { BrokerError } from '../errors.js';

interface Share {
  /** Bytes that it has sent through this worker and that may still be there: in all, and at each address. */
  stored: number;
  readonly at: Map<number, number>;
  checkedAtMs: number;
  /** Queues that it has made through any worker, as Redis counted them last. */
  made: number;
  /** Addresses where a request under way may make one, and how many of these there are for each. */
  readonly making: Map<number, number>;
  countedAtMs: number;
}

export interface ShareLimits {
  readonly maxClientBytes: number;
  readonly maxClientQueues: number;
}

const RETRY_AFTER_S = 1;
/** How many queues a client has made is asked for anew this often, when it is at its limit. */
const COUNT_AGAIN_MS = 1_000;
/** Some queues of a client that is near its limit of bytes are measured this often. */
const MEASURE_AGAIN_MS = 100;
/** From this part of its bytes on a client's queues are measured, so that what has been freed is known before it counts. */
const CHECKED_PART = 1 / 2;
/** Clients, and addresses, that are remembered; with more all are forgotten, which is to the clients' good. */
const MOST_CLIENTS = 10_000;
const MOST_ADDRESSES = 100_000;

/** Times are performance.now() of this process. */
export class Shares {
  readonly #shares = new Map<string, Share>();
  /** Address → who has stored something there. */
  readonly #senders = new Map<number, Set<Share>>();

  constructor(private readonly limits: ShareLimits) {}

  /** Counts bytes that a client sends to an address. @returns false, and nothing is counted: it would have more than it may */
  store(client: string, address: number, bytes: number): boolean {
    const share = this.#of(client);
    if (share.stored + bytes > this.limits.maxClientBytes) return false;
    this.#change(share, address, bytes);
    return true;
  }

  /** Takes back what was counted for a SEND that was not done. */
  unstore(client: string, address: number, bytes: number): void {
    const share = this.#shares.get(client);
    if (share) this.#change(share, address, -Math.min(bytes, share.at.get(address) ?? 0));
  }

  /** The queue takes so many bytes: nobody has stored more than that there. */
  learnBytes(address: number, bytes: number): void {
    for (const share of this.#senders.get(address) ?? []) {
      const stored = share.at.get(address) ?? 0;
      if (stored > bytes) this.#change(share, address, bytes - stored);
    }
  }

  /**
   * @returns addresses whose queues are to be measured, since this client may be near its limit: those that were not for the
   *   longest time; undefined: none now
   */
  toBeMeasured(client: string, nowMs: number, most: number): number[] | undefined {
    const share = this.#shares.get(client);
    if (share === undefined || share.stored <= this.limits.maxClientBytes * CHECKED_PART) return undefined;
    if (nowMs - share.checkedAtMs < MEASURE_AGAIN_MS) return undefined;
    share.checkedAtMs = nowMs;
    const addresses = [...share.at.keys()].slice(0, most);
    for (const address of addresses) {
      const bytes = share.at.get(address) as number;
      // to the end of their order
      share.at.delete(address);
      share.at.set(address, bytes);
    }
    return addresses;
  }

  /** A SEND or HELO may make a queue for this client. @returns whether it may; to be ended by {@link made} in any case */
  making(client: string | undefined, address: number): boolean {
    if (client === undefined) return true;
    const { made, making } = this.#of(client);
    making.set(address, (making.get(address) ?? 0) + 1);
    return made + making.size <= this.limits.maxClientQueues;
  }

  made(client: string | undefined, address: number): void {
    const making = client === undefined ? undefined : this.#shares.get(client)?.making;
    const requests = making?.get(address) ?? 0;
    if (requests > 1) making?.set(address, requests - 1);
    else making?.delete(address);
  }

  /** Redis has counted so many. */
  learnMade(client: string, made: number, nowMs: number): void {
    const share = this.#of(client);
    share.made = made;
    share.countedAtMs = nowMs;
  }

  /** A client was refused a queue. @returns whether Redis is to be asked how many it has made */
  mustCount(client: string, nowMs: number): boolean {
    const share = this.#of(client);
    if (nowMs - share.countedAtMs < COUNT_AGAIN_MS) return false;
    share.countedAtMs = nowMs;
    return true;
  }

  #of(client: string): Share {
    let share = this.#shares.get(client);
    if (share !== undefined) return share;
    if (this.#shares.size >= MOST_CLIENTS) this.#forget();
    share = { stored: 0, at: new Map(), checkedAtMs: -Infinity, made: 0, making: new Map(), countedAtMs: -Infinity };
    this.#shares.set(client, share);
    return share;
  }

  #change(share: Share, address: number, bytes: number): void {
    const before = share.at.get(address);
    const stored = (before ?? 0) + bytes;
    share.stored += bytes;
    if (stored > 0) share.at.set(address, stored);
    if (stored > 0 && before === undefined) {
      const senders = this.#senders.get(address);
      if (senders) senders.add(share);
      else {
        if (this.#senders.size >= MOST_ADDRESSES) this.#forget();
        this.#senders.set(address, new Set([share]));
      }
    } else if (stored <= 0 && before !== undefined) {
      share.at.delete(address);
      const senders = this.#senders.get(address);
      senders?.delete(share);
      if (senders?.size === 0) this.#senders.delete(address);
    }
  }

  #forget(): void {
    this.#shares.clear();
    this.#senders.clear();
  }
}

export const noRoom = (message: string): BrokerError =>
  new BrokerError('queue_full', message, { retryAfterS: RETRY_AFTER_S });
