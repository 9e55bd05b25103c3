// The RECVs that wait at one address of this worker: first come, first served. waiting.ts polls for them.
//
//   A waiter
//
//   join ──► waiting ──── a poll for it took messages ─────────────────► answered with these
//               │
//               │ its time is up, its client has left, or the worker stops
//               ▼
//            time up ──── at once if a quiet address has nothing,
//               │         otherwise after the next poll ───────────────► answered with none
//               │
//               └──────── that poll failed because Redis is away ──────► refused, as is a waiter that has joined since
//                                                                        the last poll, and one whose own poll failed
//   An address
//
//            a reason to poll: dirty
//   idle ─────────────────────────────────► polling for the first waiter
//    ▲                                          │          ▲
//    │ not dirty, or nobody waits               │          │ dirty: for the waiter that is first now
//    └──────────────────────────────────────────┴──────────┘
//
//   Reasons to poll: a waiter has joined, or its time is up; Redis has reported a change, or may have missed one; something has
//   fallen due; the last poll took messages, or stopped at its bound. An idle address where nobody waits is forgotten.
import { MAX_POLL_PAUSE_MS } from '../../config/limits.js';
import type { Delivery, RecvOptions } from '../recv.js';
import type { Asker } from '../turns.js';

/** A RECV that is answered when there is a message for it, or when its time is up. */
export class Waiter {
  readonly answered: Promise<Delivery[]>;
  #timeUpMs = Infinity;
  /** A poll for this waiter broke off and may have taken a message: the waiter cannot be answered that there was none. */
  doubt: Error | undefined;
  #timer: NodeJS.Timeout | undefined;
  #resolve!: (messages: Delivery[]) => void;
  #reject!: (error: Error) => void;

  /** @param pollsBefore polls already started on arrival; their empty results do not apply to this waiter */
  constructor(
    readonly options: RecvOptions,
    readonly pollsBefore: number,
    readonly caller: Asker,
  ) {
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** It is answered after the next poll, whatever that finds. */
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

export class WaiterQueue {
  readonly #waiters = new Set<Waiter>();
  /** Polls that have started. */
  polls = 0;
  /** The waiter for which a poll is under way. */
  pollingFor: Waiter | undefined;
  /** There is a reason for another poll. */
  isDirty = false;
  /** The last poll stopped at its bound: the next one continues it. */
  isBegun = false;
  /** The session of the last poll: while it lasts, Redis reports each change since that poll. */
  session: object | undefined;
  /** The session in which the poll that is under way started. */
  pollSession: object | undefined;
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

  /** In their order; a copy, so that waiters may leave while it is read. */
  get all(): Waiter[] {
    return [...this.#waiters];
  }

  /** The waiters to which the result of the poll that ends now applies. */
  get covered(): Waiter[] {
    return this.all.filter(({ pollsBefore }) => pollsBefore < this.polls);
  }

  /** @param isQuiet the result of the last poll applies to this waiter, too: no change was reported since */
  join(options: RecvOptions, isQuiet: boolean, caller: Asker): Waiter {
    const waiter = new Waiter(options, isQuiet ? this.polls - 1 : this.polls, caller);
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

  /** @param inMs until something falls due by itself; undefined: nothing will */
  setDue(inMs: number | undefined, poll: () => void): void {
    clearTimeout(this.#due);
    this.#due = inMs === undefined ? undefined : setTimeout(poll, Math.min(inMs, MAX_POLL_PAUSE_MS));
  }
}
