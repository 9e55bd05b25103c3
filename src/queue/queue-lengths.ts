// What this worker knows of the queues' lengths, bytes, limits and ids, so that the plain XADD of a SEND need not ask first
// whether there is room, and whether the entry's id says when it was sent.

interface Seen {
  length: number;
  maxLength: number;
  atMs: number;
  /** As they were measured last. */
  bytes: number;
  measuredAtMs: number;
  /** What this worker has sent since; what left the queue meanwhile is not taken off. */
  added: number;
  maxBytes: number;
}

/** More than all workers together add to one queue in a millisecond: an XADD takes Redis 2 µs or more. */
const FASTEST_GROWTH_PER_MS = 500;
/** A limit that HELO has lowered is noticed by then: docs/protocol.md promises it. */
const STALE_MS = 2_000;
/** Addresses remembered; a worker that serves more forgets them all and asks again. */
const MOST_ADDRESSES = 100_000;
/** A worker that has added this part of what the queue may take measures it anew. */
const MEASURED_PART = 1 / 16;
/** A queue that seems full is measured no more often than this: it costs Redis up to 1 ms. */
const MEASURE_AGAIN_MS = 100;

/** Remembers, per address, the length last seen and the most it may be. Times are performance.now() of this process. */
export class QueueLengths {
  readonly #seen = new Map<number, Seen>();
  readonly #ahead = new Set<number>();

  /** @param bytes undefined: they were not measured. `maxBytes`: the most that it may take */
  learn(address: number, length: number, nowMs: number, maxLength: number, bytes?: number, maxBytes = Infinity): void {
    if (this.#seen.size >= MOST_ADDRESSES) {
      this.#seen.clear();
      this.#ahead.clear();
    }
    const before = this.#seen.get(address);
    if (before === undefined || bytes !== undefined) {
      // forgotten while it was asked for: the next SEND measures it
      const measured =
        bytes === undefined
          ? { bytes: 0, measuredAtMs: -Infinity, added: Infinity }
          : { bytes, measuredAtMs: nowMs, added: 0 };
      this.#seen.set(address, { length, maxLength, atMs: nowMs, maxBytes, ...measured });
    } else Object.assign(before, { length, maxLength, atMs: nowMs, maxBytes });
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

  /** Counts bytes that are sent to the queue. */
  add(address: number, bytes: number): void {
    const seen = this.#seen.get(address);
    if (seen !== undefined) seen.added += bytes;
  }

  /** Whether the queue has room for certain: even if it grew as fast as it can since it was last seen, not long ago. */
  hasRoom(address: number, nowMs: number, bytes = 0): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined) return false;
    const ageMs = nowMs - seen.atMs;
    return (
      ageMs < STALE_MS &&
      seen.length + FASTEST_GROWTH_PER_MS * (ageMs + 1) < seen.maxLength &&
      !needsMeasuring(seen, bytes)
    );
  }

  /** Whether the queue's bytes must be measured before so many more are sent to it. */
  mustMeasure(address: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return seen === undefined || needsMeasuring(seen, bytes);
  }

  /** Whether the queue had no room for so many bytes a moment ago: Redis need not be asked. */
  isFull(address: number, nowMs: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return (
      seen !== undefined &&
      nowMs - seen.measuredAtMs < MEASURE_AGAIN_MS &&
      seen.bytes + seen.added + bytes > seen.maxBytes
    );
  }

  /** A SEND was refused: the queue takes so many bytes of so many. */
  learnFull(address: number, nowMs: number, bytes: number, maxBytes: number): void {
    // of a queue that was not known the length is still not
    const { length, maxLength, atMs } = this.#seen.get(address) ?? { length: Infinity, maxLength: 0, atMs: nowMs };
    this.#seen.set(address, { length, maxLength, atMs, bytes, measuredAtMs: nowMs, added: 0, maxBytes });
  }
}

const needsMeasuring = ({ bytes, added, maxBytes }: Seen, more: number): boolean =>
  added > maxBytes * MEASURED_PART || bytes + added + more > maxBytes;
