// Slices of more than one message take turns (docs/limits.md): only a few are under way to a Redis at the same time, and clients
// take turns, not requests. Requests about one message never wait here.
import {
  MAX_SLICE_MESSAGES_UNDER_WAY,
  MAX_WAITING_SLICES,
  RETRY_AFTER_S,
  TURN_CHECK_MS,
  TURN_PATIENCE_MS,
} from '../config/limits.js';
import { BrokerError } from '../errors.js';

/** The client of a request. */
export interface Asker {
  /** Requests with the same name share one turn. */
  readonly who: string;
  /** Nobody waits for the reply any more. */
  readonly hasLeft: boolean;
}

/** For requests of the worker itself, which have no client. */
export const NOBODY: Asker = { who: '', hasLeft: false };

export interface Slice {
  /** A key of the Redis that it is sent to. */
  readonly key: string;
  /** Most messages that it processes. */
  readonly size: number;
  readonly asker: Asker;
  /** It continues a request: it is served before the client's other requests, and may wait without a limit. */
  readonly isBegun: boolean;
}

interface Waiting extends Slice {
  readonly untilMs: number;
  start(): void;
  refuse(error: Error): void;
}

export class Turns {
  readonly #lanes = new Map<string, Lane>();

  /**
   * @param nodeOf the Redis that has a key
   * @param patienceMs slices that could not begin within this time are refused
   */
  constructor(
    private readonly nodeOf: (key: string) => string,
    private readonly patienceMs = TURN_PATIENCE_MS,
  ) {}

  /**
   * Carries `act` out when it is its turn; at once if no other slice waits.
   * @throws what `act` throws; BrokerError overloaded when it could not begin in time, or its client has left: nothing was done
   */
  take<T>(slice: Slice, act: () => Promise<T>): Promise<T> {
    const node = this.nodeOf(slice.key);
    let lane = this.#lanes.get(node);
    if (lane === undefined) this.#lanes.set(node, (lane = new Lane(this.patienceMs)));
    return lane.take(slice, act);
  }

  /** Slices that wait. */
  get waiting(): number {
    let waiting = 0;
    for (const lane of this.#lanes.values()) waiting += lane.waiting;
    return waiting;
  }
}

/** The slices for one Redis. */
class Lane {
  #underWay = 0;
  /** By client; the next turn is the first one's. */
  readonly #queues = new Map<string, Waiting[]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly patienceMs: number) {}

  get waiting(): number {
    let waiting = 0;
    for (const queue of this.#queues.values()) waiting += queue.length;
    return waiting;
  }

  take<T>(slice: Slice, act: () => Promise<T>): Promise<T> {
    if (this.#queues.size === 0 && this.#fits(slice)) return this.#start(slice, act);
    return new Promise<T>((resolve, reject) => {
      const start = (): void => void this.#start(slice, act).then(resolve, reject);
      this.#add({ ...slice, asker: slice.asker, untilMs: performance.now() + this.patienceMs, start, refuse: reject });
    });
  }

  #fits({ size }: Slice): boolean {
    return this.#underWay === 0 || this.#underWay + size <= MAX_SLICE_MESSAGES_UNDER_WAY;
  }

  async #start<T>({ size }: Slice, act: () => Promise<T>): Promise<T> {
    this.#underWay += size;
    try {
      return await act();
    } finally {
      this.#underWay -= size;
      this.#next();
    }
  }

  #add(waiting: Waiting): void {
    const { who } = waiting.asker;
    const queue = this.#queues.get(who) ?? [];
    if (waiting.isBegun) queue.unshift(waiting);
    else if (queue.length < MAX_WAITING_SLICES) queue.push(waiting);
    else {
      waiting.refuse(tooMuch());
      return;
    }
    this.#queues.set(who, queue);
    this.#timer ??= setInterval(() => this.#refuseLate(), TURN_CHECK_MS).unref();
  }

  #next(): void {
    for (const [who, queue] of this.#queues) {
      const [first] = queue;
      if (first !== undefined && !first.asker.hasLeft && !this.#fits(first)) return;
      queue.shift();
      // the client's next turn comes after those of all others
      this.#queues.delete(who);
      if (queue.length > 0) this.#queues.set(who, queue);
      if (first?.asker.hasLeft) first.refuse(tooMuch());
      else first?.start();
    }
    if (this.#queues.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Refuses slices that have waited too long, and those whose clients have left. */
  #refuseLate(): void {
    const nowMs = performance.now();
    for (const [who, queue] of this.#queues) {
      const left: Waiting[] = [];
      for (const waiting of queue) {
        const isUp = !waiting.isBegun && nowMs > waiting.untilMs;
        if (isUp || waiting.asker.hasLeft) waiting.refuse(tooMuch());
        else left.push(waiting);
      }
      if (left.length > 0) this.#queues.set(who, left);
      else this.#queues.delete(who);
    }
    this.#next();
  }
}

/** @param what the requests that wait, in the plural */
export const tooMuch = (what = 'requests about many messages'): BrokerError =>
  new BrokerError('overloaded', `${what} have to wait too long for their turn: nothing was done, try again`, {
    outcome: 'not_done',
    retryAfterS: RETRY_AFTER_S,
  });
