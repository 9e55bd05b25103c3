// What this worker knows of the queues' lengths, limits and ids, so that the plain XADD of a SEND need not ask first whether
// there is room, and whether the entry's id says when it was sent.

interface Seen {
  length: number;
  maxLength: number;
  atMs: number;
}

/** More than all workers together add to one queue in a millisecond: an XADD takes Redis 2 µs or more. */
const FASTEST_GROWTH_PER_MS = 500;
/** A limit that HELO has lowered is noticed by then: docs/protocol.md promises it. */
const STALE_MS = 2_000;
/** Addresses remembered; a worker that serves more forgets them all and asks again. */
const MOST_ADDRESSES = 100_000;

/** Remembers, per address, the length last seen and the most it may be. Times are performance.now() of this process. */
export class QueueLengths {
  readonly #seen = new Map<number, Seen>();
  readonly #ahead = new Set<number>();

  learn(address: number, length: number, nowMs: number, maxLength: number): void {
    if (this.#seen.size >= MOST_ADDRESSES) {
      this.#seen.clear();
      this.#ahead.clear();
    }
    this.#seen.set(address, { length, maxLength, atMs: nowMs });
  }

  knows(address: number): boolean {
    return this.#seen.has(address);
  }

  forget(address: number): void {
    this.#seen.delete(address);
    this.#ahead.delete(address);
  }

  /** @param isAhead the id of the queue's last entry is ahead of Redis's clock, which was set back */
  learnAhead(address: number, isAhead: boolean): void {
    if (isAhead) this.#ahead.add(address);
    else this.#ahead.delete(address);
  }

  /** Whether an entry must say itself when it was sent, because its id would be ahead of the clock. */
  isAhead(address: number): boolean {
    return this.#ahead.has(address);
  }

  /** Whether the queue has room for certain: even if it grew as fast as it can since it was last seen, not long ago. */
  hasRoom(address: number, nowMs: number): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined) return false;
    const ageMs = nowMs - seen.atMs;
    return ageMs < STALE_MS && seen.length + FASTEST_GROWTH_PER_MS * (ageMs + 1) < seen.maxLength;
  }
}
