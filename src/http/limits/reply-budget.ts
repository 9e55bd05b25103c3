// How large the reply to a batch may become. Requests that return messages reserve from it before they start; those for which
// there is no room yet wait, in their order, for what the ones before them leave unused.
import { RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';

interface Turn {
  bytes: () => number;
  start: (reserved: number) => void;
  refuse: (error: BrokerError) => void;
}

export class ReplyBudget {
  #used = 0;
  #reserved = 0;
  readonly #waiting = new Set<Turn>();

  /** @param most bytes */
  constructor(private readonly most: number) {}

  /**
   * @returns whether `bytes` were reserved; false: the request must {@link wait} for what others have reserved
   * @throws BrokerError overloaded, when there is no room even if the others use nothing
   */
  reserve(bytes: number): boolean {
    if (this.#used + bytes > this.most) throw replyIsFull(this.most);
    return this.#waiting.size === 0 && this.#take(bytes);
  }

  /**
   * @param bytes returns how many it needs; called when it may be its turn, since more may be known then
   * @returns how many were reserved, once they are
   * @throws BrokerError overloaded, when there is no room even if the others use nothing
   */
  wait(bytes: () => number): Promise<number> {
    return new Promise((start, refuse) => this.#waiting.add({ bytes, start, refuse }));
  }

  /**
   * @param reserved how many bytes the request had reserved
   * @returns false when `used` is more than that, and more than there is room for: then it is not counted
   */
  settle(reserved: number, used: number): boolean {
    this.#reserved -= reserved;
    const fits = used <= reserved || this.#used + this.#reserved + used <= this.most;
    if (fits) this.#used += used;
    this.#startNext();
    return fits;
  }

  #take(bytes: number): boolean {
    if (this.#used + this.#reserved + bytes > this.most) return false;
    this.#reserved += bytes;
    return true;
  }

  #startNext(): void {
    for (const turn of this.#waiting) {
      const needed = turn.bytes();
      if (this.#used + needed > this.most) turn.refuse(replyIsFull(this.most));
      else if (this.#take(needed)) turn.start(needed);
      else return;
      this.#waiting.delete(turn);
    }
  }
}

const replyIsFull = (most: number): BrokerError =>
  new BrokerError(
    'overloaded',
    `the reply to this body might be over ${most} bytes (AIZUMI_MAX_REPLY_BYTES): nothing was done, ` +
      'send this request again in another body',
    { outcome: 'not_done', retryAfterS: RETRY_AFTER_S },
  );
