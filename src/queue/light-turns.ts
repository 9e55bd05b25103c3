// Requests about one message do not wait for a slice's turn (turns.ts). But Redis answers in the order of the commands: what one
// client has under way to a Redis is bounded, so that no other client's command waits behind thousands of its commands.
import {
  BYTES_PER_COST,
  MAX_COST_UNDER_WAY,
  MAX_DURABLE_COST_UNDER_WAY,
  MAX_IDLE_CLIENTS,
  SCRIPT_COST,
  TURN_CHECK_MS,
  TURN_PATIENCE_MS,
} from '../config/limits.js';
import { tooMuch } from './turns.js';

export const sendCost = (bytes: number, isScript: boolean): number =>
  (isScript ? SCRIPT_COST : 1) + Math.floor(bytes / BYTES_PER_COST);

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
    private readonly patienceMs = TURN_PATIENCE_MS,
  ) {}

  /** @param level durability level of a write that waits for replicas, on a connection of its own; empty: of other requests */
  lane(address: number, level = ''): Lane {
    const node = this.nodeOf(address);
    const name = level === '' ? node : `${node} ${level}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane(level === '' ? MAX_COST_UNDER_WAY : MAX_DURABLE_COST_UNDER_WAY, this.patienceMs);
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
      this.#timer ??= setInterval(() => this.#refuseLate(), TURN_CHECK_MS).unref();
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
    if (this.#clients.size >= MAX_IDLE_CLIENTS)
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
