// Remembers the largest message that this worker has seen lately at each address: an estimate of what a RECV there returns.
import { ENVELOPE_BYTES, REMEMBERED_SIZES, REMEMBERED_SIZES_MS } from '../config/limits.js';

/** What a message adds to a reply, at most. */
export const bytesOf = (payload: string): number => Buffer.byteLength(payload) + ENVELOPE_BYTES;

/** Two maps: the young one replaces the old one from time to time. Times are performance.now() of this process. */
export class MessageSizes {
  #young = new Map<number, number>();
  #old = new Map<number, number>();
  #turnedAtMs = 0;
  /** Addresses where the last message, or the next one, is larger than LIGHT_BYTES. */
  readonly #large = new Set<number>();

  note(address: number, bytes: number): void {
    const known = this.#young.get(address);
    if (known !== undefined && known >= bytes) return;
    this.#young.set(address, bytes);
    if (this.#young.size >= REMEMBERED_SIZES / 2) this.#turn();
  }

  /** Undefined: nothing is known of this address. */
  largest(address: number): number | undefined {
    const nowMs = performance.now();
    if (nowMs - this.#turnedAtMs >= REMEMBERED_SIZES_MS) {
      this.#turn();
      this.#turnedAtMs = nowMs;
    }
    const young = this.#young.get(address);
    const old = this.#old.get(address);
    return old === undefined || (young !== undefined && young > old) ? young : old;
  }

  /** Whether the next message at this address may be expected to be as large as the last one was. */
  comesLarge(address: number): boolean {
    return this.#large.has(address);
  }

  noteLast(address: number, isLarge: boolean): void {
    if (!isLarge) this.#large.delete(address);
    else if (this.#large.size < REMEMBERED_SIZES) this.#large.add(address);
    else this.#large.clear(); // a wrong guess only costs a round trip
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
  }
}

/** Shorter payloads need not be noted when they are sent: where nothing is known, more is reserved. */
const WORTH_NOTING = 4_096;

/** Notes the size of a message that is sent, so that a RECV through this worker reserves room for it. */
export function noteSent(sizes: MessageSizes, address: number, payload: string): void {
  if (payload.length > WORTH_NOTING) sizes.note(address, bytesOf(payload));
}
