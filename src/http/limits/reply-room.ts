// Room for the messages in the reply to one body: in the reply itself, and in the worker's memory until the socket has it.
import {
  ENVELOPE_BYTES,
  LIGHT_BYTES,
  MAX_REPLY_PAYLOAD_BYTES,
  REPLY_COPIES,
  UNKNOWN_MESSAGE_BYTES,
} from '../../config/limits.js';
import type { MessageSizes } from '../../queue/message-sizes.js';
import type { Reservation, Room } from '../../queue/room.js';
import type { Account } from './memory.js';
import { ReplyBudget } from './reply-budget.js';

/** Replies of at most this many bytes are counted with the request. */
const LIGHT: Reservation = { ofReply: 0, ofMemory: 0, bytes: LIGHT_BYTES };
const LIGHT_OF_REPLY: Reservation = { ...LIGHT, ofReply: LIGHT_BYTES };

export interface ReplyLimits {
  /** Bytes of the reply to a body, and of a message in it, at most. */
  readonly maxReplyBytes: number;
  readonly maxMessageBytes: number;
}

export class ReplyRoom implements Room {
  #budget: ReplyBudget | undefined;
  /** Bytes taken from the account. */
  #held = 0;

  constructor(
    private readonly limits: ReplyLimits,
    private readonly account: Account,
  ) {}

  /** The body is a batch: its requests share one reply. The reply to a single RECV or PEEK is bounded by its own limits. */
  share(): void {
    this.#budget = new ReplyBudget(this.limits.maxReplyBytes);
  }

  reserve(count: number, sizes: MessageSizes, address: number): Reservation | Promise<Reservation> {
    const budget = this.#budget;
    const largest = sizes.largest(address);
    if (budget === undefined) return this.#take(0, count, largest);
    const bytes = this.#toReserve(count, largest);
    if (budget.reserve(bytes)) return this.#take(bytes, count, largest);
    return budget
      .wait(() => this.#toReserve(count, sizes.largest(address)))
      .then((reserved) => this.#take(reserved, count, sizes.largest(address)));
  }

  reserveLight(): Reservation | Promise<Reservation> {
    const budget = this.#budget;
    if (budget === undefined) return LIGHT;
    if (budget.reserve(LIGHT_BYTES)) return LIGHT_OF_REPLY;
    return budget.wait(() => LIGHT_BYTES).then(() => LIGHT_OF_REPLY);
  }

  settle({ ofReply, ofMemory }: Reservation, used: number): boolean {
    this.#hold(-ofMemory);
    const fits = this.#budget?.settle(ofReply, used) ?? true;
    if (fits && (this.#budget !== undefined || used > LIGHT_BYTES)) this.#hold(used * REPLY_COPIES);
    return fits;
  }

  /** To be called when the reply was written, or there is none. */
  release(): void {
    this.#hold(-this.#held);
  }

  #take(ofReply: number, count: number, largest = UNKNOWN_MESSAGE_BYTES): Reservation {
    const bytes = ofReply === 0 ? mostOf(count, largest) : ofReply;
    if (count === 1 && largest <= LIGHT_BYTES) return { ofReply, ofMemory: 0, bytes };
    const ofMemory = Math.min(mostOf(count, largest) * REPLY_COPIES, this.account.mostAtOnce);
    try {
      this.account.check(ofMemory, 'replies');
    } catch (error) {
      this.#budget?.settle(ofReply, 0);
      throw error;
    }
    this.#hold(ofMemory);
    return { ofReply, ofMemory, bytes };
  }

  #hold(bytes: number): void {
    if (bytes === 0) return;
    this.#held += bytes;
    this.account.force('replies', bytes);
  }

  /** As long as the sizes in a queue are not known, a message may have the largest size. */
  #toReserve(count: number, largest = this.limits.maxMessageBytes + ENVELOPE_BYTES): number {
    return Math.min(mostOf(count, largest), this.limits.maxReplyBytes);
  }
}

/** @returns the bytes that a RECV or PEEK of `count` messages returns at most, if none is larger than `largest` */
const mostOf = (count: number, largest: number): number =>
  Math.max(LIGHT_BYTES, Math.min(count * largest, Math.max(MAX_REPLY_PAYLOAD_BYTES, largest)));
