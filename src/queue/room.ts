// Reserves room for the messages of a RECV or a PEEK before Redis is asked, so that the size of a reply is bounded.
import { BrokerError } from '../errors.js';
import { bytesOf } from './message-sizes.js';
import type { MessageSizes } from './message-sizes.js';
import type { Message } from './queues.js';

/** Bytes that are reserved for one RECV or PEEK. */
export interface Reservation {
  readonly ofReply: number;
  readonly ofMemory: number;
  /** Most bytes of the messages, with ENVELOPE_BYTES for each. */
  readonly bytes: number;
}

export interface Room {
  /**
   * Reserves room before Redis is asked. The reservation must be passed to settle() once.
   * @param count most messages that may be returned
   * @param sizes what is known of the messages at `address`
   * @returns a promise when it must wait for others of the same body
   * @throws BrokerError overloaded, also as a rejection of the promise: nothing is reserved
   */
  reserve(count: number, sizes: MessageSizes, address: number): Reservation | Promise<Reservation>;
  /** The same for one message of at most LIGHT_BYTES (config/limits.ts). */
  reserveLight(): Reservation | Promise<Reservation>;
  /**
   * @param used bytes of the messages that were returned
   * @returns false if these are more than was reserved and do not fit: they must be discarded
   */
  settle(reservation: Reservation, used: number): boolean;
}

interface Brought {
  readonly messages: readonly Message[];
}

/**
 * Fetches messages when there is room for them.
 * @param count most messages that may be returned
 * @param bring fetches messages of at most this many bytes
 * @returns what `bring` resolved to
 * @throws BrokerError overloaded: `bring` was not called, or its messages did not fit and `throwAway` was called; what `bring`
 *   throws
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

/** Remembers the size of the largest message. @returns the bytes of all */
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
