// What this worker knows of the queues' lengths and limits, so that the plain XADD of a SEND need not ask first whether there is room.

interface Seen {
  length: number;
  maxLength: number;
  atMs: number;
}

/** More than all workers together add to one queue in a millisecond: one Redis takes about 100 SENDs/ms in all. */
const FASTEST_GROWTH_PER_MS = 100;
/** A length older than this is asked for again along with the next SEND. */
const STALE_MS = 100;
/** Addresses remembered; a worker that serves more forgets them all and asks again. */
const MOST_ADDRESSES = 100_000;

/** Remembers, per address, the length last seen and the most it may be. Times are performance.now() of this process. */
export class QueueLengths {
  readonly #seen = new Map<number, Seen>();

  learn(address: number, length: number, nowMs: number, maxLength: number): void {
    if (this.#seen.size >= MOST_ADDRESSES) this.#seen.clear();
    this.#seen.set(address, { length, maxLength, atMs: nowMs });
  }

  knows(address: number): boolean {
    return this.#seen.has(address);
  }

  forget(address: number): void {
    this.#seen.delete(address);
  }

  /**
   * Whether the queue has room even if it grew as fast as it can since it was last seen.
   * - `yes`, and the knowledge is fresh
   * - `yes, look`: ask for the length along with the SEND
   * - `unknown`: let a script look before it adds
   */
  hasRoom(address: number, nowMs: number): 'yes' | 'yes, look' | 'unknown' {
    const seen = this.#seen.get(address);
    if (seen === undefined) return 'unknown';
    const ageMs = nowMs - seen.atMs;
    if (seen.length + FASTEST_GROWTH_PER_MS * (ageMs + 1) >= seen.maxLength) return 'unknown';
    return ageMs < STALE_MS ? 'yes' : 'yes, look';
  }
}
