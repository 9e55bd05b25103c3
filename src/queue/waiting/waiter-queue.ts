// Who waits at one address of this worker, first come first.
import type { Delivery, RecvOptions } from '../recv.js';
import type { Asker } from '../turns.js';

/**
 * The queue is polled again after this time even when what falls due next is further away: Redis's clock may have jumped
 * ahead. A delay that a jump backwards has made longer than setTimeout's 24.8 days is cut by it too.
 */
const LONGEST_SLEEP_MS = 5_000;

/** A RECV that is to be answered when there is a message for it, or when its time is up. */
export class Waiter {
  readonly answered: Promise<Delivery[]>;
  #timeUpMs = Infinity;
  /** A poll for it broke off and may have taken a message: it cannot be answered that there was none. */
  doubt: Error | undefined;
  #timer: NodeJS.Timeout | undefined;
  #resolve!: (messages: Delivery[]) => void;
  #reject!: (error: Error) => void;

  /** @param since looks at the queue that had begun before it came: what they did not find says nothing to it */
  constructor(
    readonly options: RecvOptions,
    readonly since: number,
    readonly caller: Asker,
  ) {
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** It is answered after the next look, whatever that finds. */
  get timeUp(): boolean {
    return this.#timeUpMs !== Infinity;
  }

  endTime(): void {
    this.#timeUpMs = Math.min(this.#timeUpMs, performance.now());
  }

  /** Its time has been up for longer than `ms`. */
  isOverdue(ms: number): boolean {
    return performance.now() > this.#timeUpMs + ms;
  }

  endAfter(ms: number, end: () => void): void {
    this.#timer = setTimeout(end, ms);
  }

  answer(messages: Delivery[]): void {
    clearTimeout(this.#timer);
    if (messages.length === 0 && this.doubt !== undefined) this.#reject(this.doubt);
    else this.#resolve(messages);
  }

  refuse(error: unknown): void {
    clearTimeout(this.#timer);
    this.#reject(error as Error);
  }
}

export class Line {
  readonly #waiters = new Set<Waiter>();
  /** Looks at the queue that have begun. */
  looks = 0;
  /** For whom the queue is being looked at now. */
  served: Waiter | undefined;
  /** There is a reason for another look. */
  again = false;
  /** The last look stopped at its bound: the next one goes on with it. */
  isBegun = false;
  /** To which the last look belonged: changes since then are told while it lasts. */
  session: object | undefined;
  #due: NodeJS.Timeout | undefined;

  get first(): Waiter | undefined {
    return this.#waiters.values().next().value;
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** In their order; safe against those who leave meanwhile. */
  get all(): Waiter[] {
    return [...this.#waiters];
  }

  /** Those for whom the look that ends now says something. */
  get covered(): Waiter[] {
    return this.all.filter(({ since }) => since < this.looks);
  }

  /** @param isQuiet the last look says something to the newcomer too, since nothing was told since then */
  join(options: RecvOptions, isQuiet: boolean, caller: Asker): Waiter {
    const waiter = new Waiter(options, isQuiet ? this.looks - 1 : this.looks, caller);
    this.#waiters.add(waiter);
    return waiter;
  }

  answer(waiter: Waiter, messages: Delivery[]): void {
    this.#waiters.delete(waiter);
    waiter.answer(messages);
  }

  refuse(waiter: Waiter, error: unknown): void {
    this.#waiters.delete(waiter);
    waiter.refuse(error);
  }

  /** @param inMs when something falls due by itself; undefined: never */
  setDue(inMs: number | undefined, look: () => void): void {
    clearTimeout(this.#due);
    this.#due = inMs === undefined ? undefined : setTimeout(look, Math.min(inMs, LONGEST_SLEEP_MS));
  }
}
