// Requests about one message do not wait for a slice's turn (turns.ts). But Redis answers in the order of the commands: what one
// client has under way to a Redis is bounded, so that no other client's command waits behind thousands of its commands.
import { tooMuch } from './turns.js';

/** Cost of a script; an XADD of a small message costs 1, which is some 2 µs of Redis. */
export const SCRIPT_COST = 8;
/** Cost of a STAT, which reads all keys of a queue and measures them. */
export const STAT_COST = 64;
/** Bytes of a payload that cost as much as an XADD of a small one. */
const BYTES_PER_COST = 4_096;

export const sendCost = (bytes: number, isScript: boolean): number =>
  (isScript ? SCRIPT_COST : 1) + Math.floor(bytes / BYTES_PER_COST);

/** Cost that one client may have under way; a dearer request goes alone. 1,024 XADDs or 128 scripts take 2 to 6 ms. */
const MOST_UNDER_WAY = 1_024;
/** The same for writes that wait for replicas: one WAIT confirms them all, and takes as long as many of them. */
const MOST_AT_ONCE_DURABLE = 4_096;
const PATIENCE_MS = 10_000;
const CHECK_MS = 250;
/** When there are so many clients, those that have nothing under way are forgotten. */
const MOST_IDLE = 10_000;

interface Waiting {
  readonly cost: number;
  readonly untilMs: number;
  start(): void;
  refuse(): void;
  next: Waiting | undefined;
}

/** One client's cost under way, and its requests that wait, in their order. */
interface Ledger {
  underWay: number;
  first: Waiting | undefined;
  last: Waiting | undefined;
}

export class LightTurns {
  readonly #lanes = new Map<string, Lane>();

  /**
   * @param nodeOf the Redis that has an address
   * @param patienceMs requests that could not begin within this time are refused
   */
  constructor(
    private readonly nodeOf: (address: number) => string,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /** @param level durability level of a write that waits for replicas, on a connection of its own; empty: of other requests */
  lane(address: number, level = ''): Lane {
    const node = this.nodeOf(address);
    const name = level === '' ? node : `${node} ${level}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane(level === '' ? MOST_UNDER_WAY : MOST_AT_ONCE_DURABLE, this.patienceMs);
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  /** Requests that wait. */
  get waiting(): number {
    let waiting = 0;
    for (const lane of this.#lanes.values()) waiting += lane.waiting;
    return waiting;
  }
}

/** The requests to one Redis on one connection. */
export class Lane {
  readonly #clients = new Map<string, Ledger>();
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly most: number,
    private readonly patienceMs: number,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  /** @returns whether the request may be sent now: then {@link leave} must be called once. False: it must {@link wait}. */
  enters(who: string, cost: number): boolean {
    const ledger = this.#clients.get(who) ?? this.#add(who);
    if (ledger.first !== undefined || !this.#fits(ledger, cost)) return false;
    ledger.underWay += cost;
    return true;
  }

  /**
   * Carries `act` out after the client's earlier requests. {@link leave} must be called once, whatever the result.
   * @throws what `act` throws; BrokerError overloaded when it could not begin in time: nothing was done
   */
  wait<T>(who: string, cost: number, act: () => Promise<T>): Promise<T> {
    const ledger = this.#clients.get(who) ?? this.#add(who);
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = {
        cost,
        untilMs: performance.now() + this.patienceMs,
        start: () => void act().then(resolve, reject),
        refuse: () => reject(tooMuch('your requests about one message')),
        next: undefined,
      };
      if (ledger.last === undefined) ledger.first = waiting;
      else ledger.last.next = waiting;
      ledger.last = waiting;
      this.#waiting += 1;
      this.#timer ??= setInterval(() => this.#refuseLate(), CHECK_MS).unref();
    });
  }

  leave(who: string, cost: number): void {
    const ledger = this.#clients.get(who) as Ledger;
    ledger.underWay -= cost;
    if (ledger.first !== undefined) this.#start(ledger);
  }

  #fits({ underWay }: Ledger, cost: number): boolean {
    return underWay === 0 || underWay + cost <= this.most;
  }

  #start(ledger: Ledger): void {
    for (let { first } = ledger; first !== undefined && this.#fits(ledger, first.cost); { first } = ledger) {
      this.#take(ledger, first);
      first.start();
    }
  }

  /** Ends the wait of the first request. It counts as under way, also when it is refused: its caller calls leave(). */
  #take(ledger: Ledger, first: Waiting): void {
    ledger.first = first.next;
    if (first.next === undefined) ledger.last = undefined;
    ledger.underWay += first.cost;
    this.#waiting -= 1;
  }

  #add(who: string): Ledger {
    if (this.#clients.size >= MOST_IDLE)
      for (const [name, { underWay, first }] of this.#clients)
        if (underWay === 0 && first === undefined) this.#clients.delete(name);
    const ledger: Ledger = { underWay: 0, first: undefined, last: undefined };
    this.#clients.set(who, ledger);
    return ledger;
  }

  /** Refuses requests that have waited too long. */
  #refuseLate(): void {
    const nowMs = performance.now();
    for (const ledger of this.#clients.values())
      for (let { first } = ledger; first !== undefined && nowMs > first.untilMs; { first } = ledger) {
        this.#take(ledger, first);
        first.refuse();
      }
    if (this.#waiting > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Carries `act` out as soon as the client's cost under way permits. @throws as {@link Lane.wait} */
export async function inLane<T>(lane: Lane, who: string, cost: number, act: () => Promise<T>): Promise<T> {
  try {
    return await (lane.enters(who, cost) ? act() : lane.wait(who, cost, act));
  } finally {
    lane.leave(who, cost);
  }
}
