// Remembers the queues' lengths, bytes and limits, so that a SEND can be a plain XADD where there is certainly room; and whether
// the ids of a stream are ahead of Redis's clock: then an id does not give the time of its SEND.
import {
  FASTEST_GROWTH_PER_MS,
  FULL_QUEUE_PAUSE_MS,
  MEASURED_PART,
  MEASURE_PAUSE_MS_PER_BYTE,
  REMEMBERED_LENGTHS,
  STALE_LENGTH_MS,
} from '../config/limits.js';

interface Seen {
  length: number;
  maxLength: number;
  /** When length and limits were last read; -Infinity: they are unknown or in doubt. */
  atMs: number;
  maxBytes: number;
  /** As measured last. */
  bytes: number;
  measuredAtMs: number;
  /** Bytes that this worker has sent since; bytes that have left the queue are not subtracted. */
  added: number;
  measuring: Promise<void> | undefined;
  /** A SEND waits for the measurement. */
  isAwaited: boolean;
}

/** Times are performance.now() of this process. */
export class QueueLengths {
  readonly #seen = new Map<number, Seen>();
  readonly #ahead = new Set<number>();

  learn(address: number, length: number, nowMs: number, maxLength: number, maxBytes = Infinity): void {
    Object.assign(this.#of(address), { length, maxLength, atMs: nowMs, maxBytes });
  }

  /** Whether its length and limits are known and not in doubt. */
  knows(address: number): boolean {
    return (this.#seen.get(address)?.atMs ?? -Infinity) > -Infinity;
  }

  /** Its length or its limits may have changed. */
  doubt(address: number): void {
    const seen = this.#seen.get(address);
    if (seen) Object.assign(seen, { atMs: -Infinity, maxBytes: Infinity });
  }

  /** The queue no longer exists. */
  forget(address: number): void {
    this.#seen.delete(address);
    this.#ahead.delete(address);
  }

  /** @param isAhead the id of the queue's last entry is ahead of Redis's clock, which was set back */
  learnAhead(address: number, isAhead: boolean): void {
    if (isAhead) this.#ahead.add(address);
    else this.#ahead.delete(address);
  }

  /** Whether an entry needs a field for the time of its SEND, because its id would be ahead of the clock. */
  isAhead(address: number): boolean {
    return this.#ahead.has(address);
  }

  /** Counts bytes that are sent to the queue. */
  add(address: number, bytes: number): void {
    const seen = this.#seen.get(address);
    if (seen !== undefined) seen.added += bytes;
  }

  /** Whether the queue certainly has room: even if it has grown as fast as possible since its length was learnt. */
  hasRoom(address: number, nowMs: number, bytes = 0): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined) return false;
    const ageMs = nowMs - seen.atMs;
    return (
      ageMs < STALE_LENGTH_MS &&
      seen.length + FASTEST_GROWTH_PER_MS * (ageMs + 1) < seen.maxLength &&
      !seen.isAwaited &&
      !needsMeasuring(seen, bytes)
    );
  }

  /** The bytes that the queue takes, as far as this worker knows. */
  bytesOf(address: number): number {
    const seen = this.#seen.get(address);
    return seen === undefined ? 0 : seen.bytes + seen.added;
  }

  /** Whether the queue must be measured before so many more bytes are sent to it. */
  mustMeasure(address: number, nowMs: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined) return true;
    return seen.isAwaited || (needsMeasuring(seen, bytes) && !this.isFull(address, nowMs, bytes));
  }

  /** Whether the SEND must wait for that: there seems to be no room, or other SENDs wait already. */
  mustWait(address: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return seen !== undefined && (seen.isAwaited || seen.bytes + seen.added + bytes > seen.maxBytes);
  }

  /** Whether the queue had no room for so many bytes a moment ago, so that Redis need not be asked. */
  isFull(address: number, nowMs: number, bytes: number): boolean {
    const seen = this.#seen.get(address);
    return (
      seen !== undefined &&
      nowMs - seen.measuredAtMs < Math.max(FULL_QUEUE_PAUSE_MS, restMs(seen)) &&
      seen.bytes + seen.added + bytes > seen.maxBytes
    );
  }

  /** Whether it was measured so lately that it would cost Redis too much to do it again. */
  rests(address: number, nowMs: number): boolean {
    const seen = this.#seen.get(address);
    return seen !== undefined && nowMs - seen.measuredAtMs < restMs(seen);
  }

  /**
   * Measures the queue; calls during a measurement share it.
   * @param ask resolves with the bytes of what was sent until it was called
   * @param learn receives this result and the bytes that were sent meanwhile
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

  /** A SEND waits for the measurement: until it ends all later SENDs must wait, too, so that they stay in order. */
  await(address: number): void {
    const seen = this.#seen.get(address);
    if (seen?.measuring !== undefined) seen.isAwaited = true;
  }

  /** A SEND was refused, with the most bytes that the queue may take. */
  learnFull(address: number, maxBytes: number): void {
    const seen = this.#seen.get(address);
    if (seen !== undefined) seen.maxBytes = maxBytes;
  }

  #of(address: number): Seen {
    let seen = this.#seen.get(address);
    if (seen !== undefined) return seen;
    if (this.#seen.size >= REMEMBERED_LENGTHS) {
      this.#seen.clear();
      this.#ahead.clear();
    }
    const bytes = { bytes: 0, measuredAtMs: -Infinity, added: 0, measuring: undefined, isAwaited: false };
    seen = { length: Infinity, maxLength: 0, atMs: -Infinity, maxBytes: Infinity, ...bytes };
    this.#seen.set(address, seen);
    return seen;
  }
}

const restMs = ({ bytes }: Seen): number => bytes * MEASURE_PAUSE_MS_PER_BYTE;

const needsMeasuring = ({ bytes, added, maxBytes, measuredAtMs }: Seen, more: number): boolean =>
  measuredAtMs === -Infinity || added > maxBytes * MEASURED_PART || bytes + added + more > maxBytes;
