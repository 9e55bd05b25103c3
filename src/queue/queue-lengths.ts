// What this worker knows of the queues' lengths, bytes, limits and ids, so that the plain XADD of a SEND need not ask first
// whether there is room, and whether the entry's id says when it was sent.

interface Seen {
  length: number;
  maxLength: number;
  /** When length and limits were told; -Infinity: they were not, or may be others. */
  atMs: number;
  maxBytes: number;
  /** As they were measured last. */
  bytes: number;
  measuredAtMs: number;
  /** What this worker has sent since; what left the queue meanwhile is not taken off. */
  added: number;
  measuring: Promise<void> | undefined;
  /** A SEND waits for that. */
  isAwaited: boolean;
}

/** More than all workers together add to one queue in a millisecond: an XADD takes Redis 2 µs or more. */
const FASTEST_GROWTH_PER_MS = 500;
/** A limit that HELO has lowered is noticed by then: docs/protocol.md promises it. */
const STALE_MS = 2_000;
/** Addresses remembered; a worker that serves more forgets them all and asks again. */
const MOST_ADDRESSES = 100_000;
/** A worker that has added this part of what the queue may take measures it anew. */
const MEASURED_PART = 1 / 16;
/** A queue that is full is not measured again before, ms. */
const FULL_MS = 250;
/** Nor is one that it would cost much: 2 s for 1 GiB, which takes Redis 20 ms and more (docs/limits.md). */
const REST_MS_PER_BYTE = 2_000 / 2 ** 30;

/** Remembers, per address, the length last seen and the most it may be. Times are performance.now() of this process. */
export class QueueLengths {
  readonly #seen = new Map<number, Seen>();
  readonly #ahead = new Set<number>();

  learn(address: number, length: number, nowMs: number, maxLength: number, maxBytes = Infinity): void {
    Object.assign(this.#of(address), { length, maxLength, atMs: nowMs, maxBytes });
  }

  /** Whether its length and limits were told since they were in doubt. */
  knows(address: number): boolean {
    return (this.#seen.get(address)?.atMs ?? -Infinity) > -Infinity;
  }

  /** Its length or its limits may be others now. */
  doubt(address: number): void {
    const seen = this.#seen.get(address);
    if (seen) Object.assign(seen, { atMs: -Infinity, maxBytes: Infinity });
  }

  /** There is no such queue any more. */
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
      !seen.isAwaited &&
      !needsMeasuring(seen, bytes)
    );
  }

  /** What it takes, as far as this worker knows, bytes. */
  bytesOf(address: number): number {
    const seen = this.#seen.get(address);
    return seen === undefined ? 0 : seen.bytes + seen.added;
  }

  /** Whether the queue's bytes must be measured before so many more are sent to it. */
  mustMeasure(address: number, nowMs: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined) return true;
    return seen.isAwaited || (needsMeasuring(seen, bytes) && !this.isFull(address, nowMs, bytes));
  }

  /** Whether it must wait for that: there seems to be no room, or others wait already. */
  mustWait(address: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return seen !== undefined && (seen.isAwaited || seen.bytes + seen.added + bytes > seen.maxBytes);
  }

  /** Whether the queue had no room for so many bytes a moment ago: Redis need not be asked. */
  isFull(address: number, nowMs: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return (
      seen !== undefined &&
      nowMs - seen.measuredAtMs < Math.max(FULL_MS, restMs(seen)) &&
      seen.bytes + seen.added + bytes > seen.maxBytes
    );
  }

  /** Whether it was measured so lately that it would cost Redis too much to do it again. */
  rests(address: number, nowMs: number): boolean {
    const seen = this.#seen.get(address);
    return seen !== undefined && nowMs - seen.measuredAtMs < restMs(seen);
  }

  /**
   * Notes what the queue takes when that is known; one measuring at a time, which all share that ask for it.
   * @param ask resolves with bytes, of what was sent until it was called
   * @param learn is told, with what was asked for, the bytes that were sent meanwhile
   */
  measure<Measured extends { bytes: number }>(
    address: number,
    ask: () => Promise<Measured>,
    learn: (measured: Measured, sentMeanwhile: number) => void,
  ): Promise<void> {
    const seen = this.#of(address);
    if (seen.measuring !== undefined) return seen.measuring;
    const { added } = seen;
    const note = (measured: Measured): void => {
      const sentMeanwhile = seen.added - added;
      Object.assign(seen, { bytes: measured.bytes, added: sentMeanwhile, measuredAtMs: performance.now() });
      learn(measured, sentMeanwhile);
    };
    const end = (): void => void Object.assign(seen, { measuring: undefined, isAwaited: false });
    seen.measuring = ask().then(note).finally(end);
    return seen.measuring;
  }

  /** A SEND waits for the measuring that is under way: all that come until its end must wait, too, so that they stay in order. */
  await(address: number): void {
    const seen = this.#seen.get(address);
    if (seen?.measuring !== undefined) seen.isAwaited = true;
  }

  /** A SEND was refused: so many bytes are the most that the queue may take. */
  learnFull(address: number, maxBytes: number): void {
    const seen = this.#seen.get(address);
    if (seen !== undefined) seen.maxBytes = maxBytes;
  }

  #of(address: number): Seen {
    let seen = this.#seen.get(address);
    if (seen !== undefined) return seen;
    if (this.#seen.size >= MOST_ADDRESSES) {
      this.#seen.clear();
      this.#ahead.clear();
    }
    const bytes = { bytes: 0, measuredAtMs: -Infinity, added: 0, measuring: undefined, isAwaited: false };
    seen = { length: Infinity, maxLength: 0, atMs: -Infinity, maxBytes: Infinity, ...bytes };
    this.#seen.set(address, seen);
    return seen;
  }
}

const restMs = ({ bytes }: Seen): number => bytes * REST_MS_PER_BYTE;

const needsMeasuring = ({ bytes, added, maxBytes, measuredAtMs }: Seen, more: number): boolean =>
  measuredAtMs === -Infinity || added > maxBytes * MEASURED_PART || bytes + added + more > maxBytes;
