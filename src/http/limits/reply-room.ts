// Room for the messages that one body's reply brings: in the reply, and in the worker's memory until it is handed to the socket.
import { ENVELOPE_BYTES, LIGHT_BYTES, MAX_REPLY_PAYLOAD_BYTES } from '../../config/limits.js';
import type { MessageSizes } from '../../queue/message-sizes.js';
import type { Reservation, Room } from '../../queue/room.js';
import type { Account } from './memory.js';
import { ReplyBudget } from './reply-budget.js';

/** What a byte of a message takes while its reply is made: its text from Redis, and the reply's. */
const COPIES = 2;
/** In the worker's memory each message counts with so much where nothing is known of its queue. */
const UNKNOWN_BYTES = 4_096;

/** So little counts with the request. */
const LIGHT: Reservation = { ofReply: 0, ofMemory: 0, bytes: LIGHT_BYTES };
const LIGHT_OF_REPLY: Reservation = { ...LIGHT, ofReply: LIGHT_BYTES };

export interface ReplyLimits {
  /** What the reply to a body may weigh, and a message in it, bytes. */
  readonly maxReplyBytes: number;
  readonly maxMessageBytes: number;
}

export class ReplyRoom implements Room {
  #budget: ReplyBudget | undefined;
  /** Taken of the worker's memory, bytes. */
  #held = 0;

  constructor(
    private readonly limits: ReplyLimits,
    private readonly account: Account,
  ) {}

  /** The body is a batch: its elements share one reply. That to a single RECV or PEEK is bounded by itself. */
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
    if (fits && (this.#budget !== undefined || used > LIGHT_BYTES)) this.#hold(used * COPIES);
    return fits;
  }

  /** The reply was handed to its connection, or there is none. */
  release(): void {
    this.#hold(-this.#held);
  }

  #take(ofReply: number, count: number, largest = UNKNOWN_BYTES): Reservation {
    const bytes = ofReply === 0 ? mostOf(count, largest) : ofReply;
    if (count === 1 && largest <= LIGHT_BYTES) return { ofReply, ofMemory: 0, bytes };
    const ofMemory = Math.min(mostOf(count, largest) * COPIES, this.account.mostAtOnce);
    try {
      this.account.check(ofMemory);
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

  /** Where nothing is known a message may be as large as any; once the first has come, the others count with its size. */
  #toReserve(count: number, largest = this.limits.maxMessageBytes + ENVELOPE_BYTES): number {
    return Math.min(mostOf(count, largest), this.limits.maxReplyBytes);
  }
}

/** What a RECV or PEEK of `count` messages brings at most where none is larger than `largest`. */
const mostOf = (count: number, largest: number): number =>
  Math.max(LIGHT_BYTES, Math.min(count * largest, Math.max(MAX_REPLY_PAYLOAD_BYTES, largest)));
