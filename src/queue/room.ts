// Room for the messages that a RECV or a PEEK brings: reserved before Redis is asked, so that what a reply weighs is bounded.
import { BrokerError } from '../errors.js';
import { bytesOf } from './message-sizes.js';
import type { MessageSizes } from './message-sizes.js';
import type { Message } from './queues.js';

/** What was reserved for one RECV or PEEK, bytes. */
export interface Reservation {
  readonly ofReply: number;
  readonly ofMemory: number;
  /** What the messages may take, with ENVELOPE_BYTES for each. */
  readonly bytes: number;
}

export interface Room {
  /**
   * Reserves room before Redis is asked. What it returns is to be given to settle(), once.
   * @param count most messages that may come
   * @param sizes what is known of the messages at `address`
   * @returns a promise when it must wait for others of the same body
   * @throws BrokerError overloaded, the promise too: nothing is reserved, and nothing must be done
   */
  reserve(count: number, sizes: MessageSizes, address: number): Reservation | Promise<Reservation>;
  /** The same for one message of at most LIGHT_BYTES (slices.ts). */
  reserveLight(): Reservation | Promise<Reservation>;
  /**
   * @param used bytes of what has come
   * @returns false when that is more than was reserved and does not fit: it must be thrown away
   */
  settle(reservation: Reservation, used: number): boolean;
}

interface Brought {
  readonly messages: readonly Message[];
}

/**
 * Brings messages when there is room for them.
 * @param count most that may come
 * @param bring asks Redis for no more than so many bytes
 * @returns what `bring` resolved to
 * @throws BrokerError overloaded: `bring` was not called, or what it brought does not fit and must be thrown away, which
 *   `throwAway` has done; what `bring` throws
 */
export async function inRoom<T extends Brought>(
  room: Room,
  { count, sizes, address }: { count: number; sizes: MessageSizes; address: number },
  bring: (bytes: number) => Promise<T>,
  throwAway?: (brought: T) => Promise<void>,
): Promise<T> {
  const reserved = room.reserve(count, sizes, address);
  const reservation = reserved instanceof Promise ? await reserved : reserved;
  let brought: T;
  try {
    brought = await bring(reservation.bytes);
  } catch (error) {
    room.settle(reservation, 0);
    throw error;
  }
  if (room.settle(reservation, noteSizes(sizes, address, brought.messages))) return brought;
  await throwAway?.(brought);
  throw noRoomInReply();
}

export const noRoomInReply = (): BrokerError =>
  new BrokerError(
    'overloaded',
    'the messages are larger than was expected, and the reply to this body has no room for them (AIZUMI_MAX_REPLY_BYTES): nothing was done, send this request again in another body',
    { outcome: 'not_done', retryAfterS: 1 },
  );

/** @returns what these messages take, bytes; the largest is remembered */
export function noteSizes(sizes: MessageSizes, address: number, messages: readonly Message[]): number {
  let used = 0;
  let largest = 0;
  for (const { payload } of messages) {
    const bytes = bytesOf(payload);
    used += bytes;
    if (bytes > largest) largest = bytes;
  }
  sizes.note(address, largest);
  return used;
}
