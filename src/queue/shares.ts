// Counts for each client the bytes that it has stored and the queues that it has created, as far as this worker knows.
import {
  CLIENT_MEASURED_PART,
  CLIENT_MEASURE_MS,
  REMEMBERED_CLIENTS,
  REMEMBERED_ENDS,
  REMEMBERED_SHARES,
  RETRY_AFTER_S,
} from '../config/limits.js';
import { BrokerError } from '../errors.js';

/** Bytes that a client has sent to an address through this worker and that may still be stored there. */
interface Place {
  /** Of messages that can be received. */
  now: number;
  /** Of messages that are not due. */
  later: number;
}

interface Share {
  /** Bytes at all addresses. */
  stored: number;
  readonly at: Map<number, Place>;
  /** The end of a delay → address → the bytes there whose delays end then. Their sum is the address's `later`. */
  readonly ends: Map<number, Map<number, number>>;
  nextEndMs: number;
  checkedAtMs: number;
  /** Queues that it has created through any worker, as Redis counted them last. */
  made: number;
  /** Addresses where requests under way may create a queue, and how many such requests there are. */
  readonly making: Map<number, number>;
}

export interface ShareLimits {
  readonly maxClientBytes: number;
  readonly maxClientQueues: number;
}

/**
 * The end of a delay is rounded up to a sixteenth of the delay or to this, ms; with more than REMEMBERED_ENDS, to a day. Until
 * then the message counts as not due.
 */
const LEAST_STEP_MS = 256;
const STEPS = 16;
const DAY_MS = 86_400_000;

/** Times are performance.now() of this process. */
export class Shares {
  readonly #shares = new Map<string, Share>();
  /** Address → the clients that have stored something there. */
  readonly #senders = new Map<number, Set<Share>>();
  /** Ends of delays at addresses that are remembered. */
  #ends = 0;

  constructor(private readonly limits: ShareLimits) {}

  /** Whether a client may store this many more bytes. */
  mayStore(client: string, bytes: number): boolean {
    return (this.#shares.get(client)?.stored ?? 0) + bytes <= this.limits.maxClientBytes;
  }

  /**
   * Counts bytes that a client sends to an address.
   * @param dueMs when they can be received; 0: at once
   * @returns false when it would have more than it may: nothing was counted
   */
  store(client: string, address: number, bytes: number, dueMs = 0, nowMs = 0): boolean {
    const share = this.#of(client);
    if (share.stored + bytes > this.limits.maxClientBytes) return false;
    const place = this.#place(share, address);
    share.stored += bytes;
    if (dueMs === 0) place.now += bytes;
    else {
      place.later += bytes;
      this.#noteEnd(share, address, bytes, dueMs, nowMs);
    }
    return true;
  }

  /** Undoes store() for a SEND that was not done. */
  unstore(client: string, address: number, bytes: number, dueMs = 0): void {
    const share = this.#shares.get(client);
    const place = share?.at.get(address);
    if (share === undefined || place === undefined) return;
    if (dueMs === 0) this.#set(share, address, Math.max(0, place.now - bytes), place.later);
    else {
      this.#forgetEnds(share, address, Math.min(bytes, place.later));
      this.#set(share, address, place.now, Math.max(0, place.later - bytes));
    }
  }

  /**
   * The queue was measured: no client has stored more than that there. A delayed message belongs to its sender until it is due;
   * for the other bytes the sender is unknown.
   * @param mostNow most bytes of messages that can be received
   * @param mostLater most bytes of other messages
   */
  learnBytes(address: number, mostNow: number, mostLater: number, nowMs: number): void {
    for (const share of this.#senders.get(address) ?? []) {
      this.#fallDue(share, nowMs);
      const { now, later } = share.at.get(address) as Place;
      const due = Math.max(0, later - mostLater);
      if (due > 0) this.#forgetEnds(share, address, due);
      this.#set(share, address, Math.min(now + due, mostNow), later - due);
    }
  }

  /**
   * @returns addresses whose queues are to be measured, since this client may be near its limit: the ones measured longest ago;
   *   undefined: none now
   */
  toBeMeasured(client: string, nowMs: number, most: number): number[] | undefined {
    const share = this.#shares.get(client);
    if (share === undefined || share.stored <= this.limits.maxClientBytes * CLIENT_MEASURED_PART) return undefined;
    if (nowMs - share.checkedAtMs < CLIENT_MEASURE_MS) return undefined;
    share.checkedAtMs = nowMs;
    const addresses = [...share.at.keys()].slice(0, most);
    for (const address of addresses) {
      const place = share.at.get(address) as Place;
      // to the end of the order
      share.at.delete(address);
      share.at.set(address, place);
    }
    return addresses;
  }

  /** A SEND or HELO may create a queue for this client. @returns whether it may; {@link made} must be called in any case */
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

  /** Records how many queues of this client Redis has counted. */
  learnMade(client: string, made: number): void {
    this.#of(client).made = made;
  }

  #of(client: string): Share {
    let share = this.#shares.get(client);
    if (share !== undefined) return share;
    if (this.#shares.size >= REMEMBERED_CLIENTS) this.#forget();
    share = {
      stored: 0,
      at: new Map(),
      ends: new Map(),
      nextEndMs: Infinity,
      checkedAtMs: -Infinity,
      made: 0,
      making: new Map(),
    };
    this.#shares.set(client, share);
    return share;
  }

  #place(share: Share, address: number): Place {
    let place = share.at.get(address);
    if (place !== undefined) return place;
    let senders = this.#senders.get(address);
    if (senders === undefined) {
      if (this.#senders.size >= REMEMBERED_SHARES) this.#forget();
      senders = new Set();
      this.#senders.set(address, senders);
    }
    senders.add(share);
    place = { now: 0, later: 0 };
    share.at.set(address, place);
    return place;
  }

  #set(share: Share, address: number, now: number, later: number): void {
    const place = share.at.get(address) as Place;
    share.stored += now + later - place.now - place.later;
    Object.assign(place, { now, later });
    if (now + later > 0) return;
    share.at.delete(address);
    const senders = this.#senders.get(address);
    senders?.delete(share);
    if (senders?.size === 0) this.#senders.delete(address);
  }

  #noteEnd(share: Share, address: number, bytes: number, dueMs: number, nowMs: number): void {
    const part = Math.max(LEAST_STEP_MS, 2 ** Math.floor(Math.log2((dueMs - nowMs) / STEPS)));
    const step = this.#ends < REMEMBERED_ENDS ? part : DAY_MS;
    const endMs = Math.ceil(dueMs / step) * step;
    let ends = share.ends.get(endMs);
    if (ends === undefined) share.ends.set(endMs, (ends = new Map<number, number>()));
    if (!ends.has(address)) this.#ends += 1;
    ends.set(address, (ends.get(address) ?? 0) + bytes);
    share.nextEndMs = Math.min(share.nextEndMs, endMs);
  }

  /** Some delays ended earlier than expected, or their messages were dropped: forgets the next ends of this address. */
  #forgetEnds(share: Share, address: number, bytes: number): void {
    let left = bytes;
    for (const endMs of [...share.ends.keys()].sort((a, b) => a - b)) {
      const ends = share.ends.get(endMs) as Map<number, number>;
      const ending = ends.get(address);
      if (ending === undefined) continue;
      const part = Math.min(left, ending);
      left -= part;
      if (part < ending) ends.set(address, ending - part);
      else {
        ends.delete(address);
        this.#ends -= 1;
        if (ends.size === 0) share.ends.delete(endMs);
      }
      if (left === 0) return;
    }
  }

  /** Moves the bytes of messages that can be received by now. */
  #fallDue(share: Share, nowMs: number): void {
    if (nowMs < share.nextEndMs) return;
    share.nextEndMs = Infinity;
    for (const [endMs, ends] of share.ends) {
      if (endMs > nowMs) {
        share.nextEndMs = Math.min(share.nextEndMs, endMs);
        continue;
      }
      share.ends.delete(endMs);
      this.#ends -= ends.size;
      for (const [address, bytes] of ends) {
        const place = share.at.get(address);
        if (place !== undefined) Object.assign(place, { now: place.now + bytes, later: place.later - bytes });
      }
    }
  }

  #forget(): void {
    this.#shares.clear();
    this.#senders.clear();
    this.#ends = 0;
  }
}

export const noRoom = (message: string): BrokerError =>
  new BrokerError('queue_full', message, { retryAfterS: RETRY_AFTER_S });
