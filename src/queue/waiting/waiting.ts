// RECVs that wait for a message (long polling). Nobody asks Redis over and over: Redis tells when a queue has changed, RECV's
// script says when something falls due by itself, and then the first in the line of that address looks (docs/adr/0009).
import { BrokerError } from '../../errors.js';
import type { Invalidations } from '../../redis/connect/invalidations.js';
import { backedKey, delayedKey, leasesKey, queueKey } from '../keys.js';
import { Line } from './waiter-queue.js';
import type { Waiter } from './waiter-queue.js';
import type { Queues } from '../queues.js';
import { recv } from '../recv.js';
import type { Delivery, Received, RecvManner, RecvOptions } from '../recv.js';
import type { Asker } from '../turns.js';

/** Lines that are looked at at once when all must be. */
const AT_ONCE = 500;
/** What no event tells, such as a slot that moved in a Cluster, is noticed within this time. */
const CHECK_MS = 1_000;
/** A RECV that does not wait goes on for this long if Redis says that it should look again. */
const PATIENCE_MS = 500;

/** The client of a RECV that waits. */
export interface Caller extends Asker {
  /** Calls back, once, when the client goes away; at once if it has gone already. */
  onLeave(leave: () => void): void;
}

export class Waiting {
  readonly #lines = new Map<number, Line>();
  readonly #check: NodeJS.Timeout;
  #stopped = false;

  constructor(
    private readonly queues: Queues,
    private readonly invalidations: Invalidations,
  ) {
    invalidations.listen({
      onChange: (key) => this.#wake(key),
      onSession: () => void this.#lookWhereMissed(),
    });
    this.#check = setInterval(() => void this.#lookWhereMissed(), CHECK_MS).unref();
  }

  /**
   * Takes messages from the queue of `address`, behind those who wait there already; waits for the first of them.
   * @param waitMs 0: answers at once
   * @returns none when the time is up, the client has left, or the worker stops
   * @throws BrokerError overloaded, when a RECV that does not wait found no end of what had to be done first; otherwise as
   * recv() does; but a loss of Redis is waited through by those who were there before it
   */
  recv(address: number, options: RecvOptions, waitMs: number, caller: Caller): Promise<Delivery[]> {
    const isToWait = waitMs > 0 && !this.#stopped;
    const known = this.#lines.get(address);
    if (known === undefined && !isToWait) return this.#recvAtOnce(address, options, caller);
    const line = known ?? new Line();
    this.#lines.set(address, line);
    const isQuiet = this.#isQuiet(address, line);
    const waiter = line.join(options, isQuiet, caller);
    if (isToWait) waiter.endAfter(waitMs, () => this.#end(address, line, waiter));
    else waiter.endTime();
    if (!isQuiet || !isToWait) void this.#look(address, line);
    if (isToWait) caller.onLeave(() => this.#dismiss(address, line, waiter));
    return waiter.answered;
  }

  /** RECVs that wait now. */
  get count(): number {
    let count = 0;
    for (const { size } of this.#lines.values()) count += size;
    return count;
  }

  /** Answers all who wait, and from now on every RECV at once. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#check);
    for (const [address, line] of this.#lines) for (const waiter of line.all) this.#dismiss(address, line, waiter);
  }

  async #recvAtOnce(address: number, options: RecvOptions, asker: Asker): Promise<Delivery[]> {
    const untilMs = performance.now() + PATIENCE_MS;
    let received = await recv(this.queues, address, options, { asker });
    while (received.againMs === 0) {
      // there may be messages behind what Redis has to put in order first
      if (performance.now() > untilMs) throw tooMuchHasEnded();
      received = await recv(this.queues, address, options, { asker, isBegun: true });
    }
    return received.messages;
  }

  #session(address: number): object | undefined {
    return this.invalidations.session(queueKey(this.queues.settings.keyPrefix, address));
  }

  /** Whether the last look found nothing, and Redis would have told of a change since then. */
  #isQuiet(address: number, line: Line): boolean {
    return line.served === undefined && line.session !== undefined && line.session === this.#session(address);
  }

  /** The waiter's time is up. */
  #end(address: number, line: Line, waiter: Waiter): void {
    waiter.endTime();
    if (this.#isQuiet(address, line)) this.#dismiss(address, line, waiter);
    else void this.#look(address, line);
  }

  /** Answers without another look, unless one is under way for this waiter: what that finds is no other's. */
  #dismiss(address: number, line: Line, waiter: Waiter): void {
    waiter.endTime();
    if (line.served === waiter) return;
    line.answer(waiter, []);
    this.#tidy(address, line);
  }

  #tidy(address: number, line: Line): void {
    if (!line.isEmpty || line.served !== undefined) return;
    line.setDue(undefined, () => undefined);
    if (this.#lines.get(address) === line) this.#lines.delete(address);
  }

  /** @param key one that was looked at and has changed; undefined: all may have */
  #wake(key: string | undefined): void {
    if (key === undefined) {
      for (const line of this.#lines.values()) line.session = undefined;
      void this.#lookWhereMissed();
      return;
    }
    const address = Number(/\{(\d+)\}/.exec(key)?.[1]);
    const line = this.#lines.get(address);
    if (line !== undefined) void this.#look(address, line);
  }

  /** Looks where changes may have been missed and would be told from now on: there was a loss, or the queue has moved. */
  async #lookWhereMissed(): Promise<void> {
    const missed = [...this.#lines].filter(([address, line]) => {
      const session = this.#session(address);
      return session !== undefined && session !== line.session;
    });
    for (let i = 0; i < missed.length; i += AT_ONCE)
      await Promise.all(missed.slice(i, i + AT_ONCE).map(([address, line]) => this.#look(address, line)));
  }

  /** Looks for the first in the line, then for the next, as long as there is a reason to. Never throws. */
  async #look(address: number, line: Line): Promise<void> {
    line.again = true;
    if (line.served !== undefined) return;
    for (let first = line.first; first !== undefined && line.again; first = line.first) {
      line.again = false;
      line.looks++;
      line.served = first;
      await this.#lookFor(first, address, line);
      line.served = undefined;
    }
    this.#tidy(address, line);
  }

  async #lookFor(first: Waiter, address: number, line: Line): Promise<void> {
    const session = this.#session(address);
    try {
      const { found, isTold } = await this.#read(session, address, first, line);
      const { messages, againMs } = found;
      line.session = isTold ? session : undefined;
      line.isBegun = messages.length === 0 && againMs === 0;
      if (messages.length > 0) {
        line.answer(first, messages);
        line.again = true; // what it took it has changed itself, and that is not told
      } else if (againMs === 0) {
        line.again = true;
        if (first.isOverdue(PATIENCE_MS)) line.refuse(first, tooMuchHasEnded());
      } else {
        line.setDue(againMs, () => void this.#look(address, line));
        for (const waiter of line.covered) if (waiter.timeUp) line.answer(waiter, []);
      }
    } catch (error) {
      this.#fail(error, first, line);
    }
  }

  async #read(
    session: object | undefined,
    address: number,
    { options, caller }: Waiter,
    { isBegun }: Line,
  ): Promise<{ found: Received; isTold: boolean }> {
    const how = { asker: caller, isBegun };
    if (session === undefined) return { found: await recv(this.queues, address, options, how), isTold: false };
    const { keyPrefix: prefix } = this.queues.settings;
    const keys = [queueKey, leasesKey, delayedKey, backedKey].map((name) => name(prefix, address));
    // of the last slice, which says that there is no more
    let isTold = false;
    const read: RecvManner['read'] = async (slice) => {
      const looked = await this.invalidations.look(keys as [string, ...string[]], (redis) =>
        slice(redis as Queues['redis']),
      );
      ({ isTold } = looked);
      return looked.found;
    };
    return { found: await recv(this.queues, address, options, { ...how, read }), isTold };
  }

  /**
   * A loss of Redis is waited through, but for those who came in it and those whose time is up. If the poll that broke off has
   * taken a message, it comes back when its lease ends: the first waits for another one, but is not told that there was none. A
   * fault that will not go away is the first one's alone.
   */
  #fail(error: unknown, first: Waiter, line: Line): void {
    line.session = undefined;
    if (!(error instanceof BrokerError) || error.reason !== 'unavailable') {
      line.refuse(first, error);
      line.again = true;
      return;
    }
    if (error.outcome === 'unknown') first.doubt = error;
    for (const waiter of line.covered) {
      const hasJustCome = waiter.since === line.looks - 1;
      if (waiter.timeUp || hasJustCome) line.refuse(waiter, error);
    }
  }
}

const tooMuchHasEnded = (): BrokerError =>
  new BrokerError('overloaded', 'very many leases or lives of this queue have just ended: try again', {
    retryAfterS: 1,
    outcome: 'not_done',
  });
