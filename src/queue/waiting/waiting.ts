// RECVs that wait for a message (long polling). Nobody polls Redis over and over: Redis reports when a queue has changed, and
// RECV's script returns when something falls due by itself. Only then is the queue polled, for the first waiter of that address
// (docs/adr/0009). waiter-queue.ts has a picture of the states.
import { MISSED_CHANGES_CHECK_MS, POLLED_AT_ONCE, POLL_PATIENCE_MS } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import type { Invalidations } from '../../redis/connect/invalidations.js';
import { backedKey, delayedKey, leasesKey, queueKey } from '../keys.js';
import { WaiterQueue } from './waiter-queue.js';
import type { Waiter } from './waiter-queue.js';
import type { Queues } from '../queues.js';
import { recv } from '../recv.js';
import type { Delivery, Received, RecvManner, RecvOptions } from '../recv.js';
import type { Asker } from '../turns.js';

/** The client of a RECV that waits. */
export interface Caller extends Asker {
  /** Calls back, once, when the client disconnects; at once if it has disconnected already. */
  onLeave(leave: () => void): void;
}

export class Waiting {
  readonly #waiters = new Map<number, WaiterQueue>();
  readonly #check: NodeJS.Timeout;
  #stopped = false;

  constructor(
    private readonly queues: Queues,
    private readonly invalidations: Invalidations,
  ) {
    invalidations.listen({
      onChange: (key) => this.#wake(key),
      onSession: () => void this.#pollWhereMissed(),
    });
    this.#check = setInterval(() => void this.#pollWhereMissed(), MISSED_CHANGES_CHECK_MS).unref();
  }

  /**
   * Takes messages from the queue of `address`, after the waiters that are there already. Waits until there is a message.
   * @param waitMs 0: answers at once
   * @returns none when the time is up, the client has left, or the worker stops
   * @throws BrokerError overloaded, when a RECV that does not wait found no end of the work before its first message; otherwise
   * as recv() does. Existing waiters outlast a Redis outage.
   */
  recv(address: number, options: RecvOptions, waitMs: number, caller: Caller): Promise<Delivery[]> {
    const isToWait = waitMs > 0 && !this.#stopped;
    const known = this.#waiters.get(address);
    if (known === undefined && !isToWait) return this.#recvAtOnce(address, options, caller);
    const waiters = known ?? new WaiterQueue();
    this.#waiters.set(address, waiters);
    const isQuiet = this.#isQuiet(address, waiters);
    const waiter = waiters.join(options, isQuiet, caller);
    if (isToWait) waiter.endAfter(waitMs, () => this.#end(address, waiters, waiter));
    else waiter.endTime();
    if (!isQuiet || !isToWait) void this.#poll(address, waiters);
    if (isToWait) caller.onLeave(() => this.#dismiss(address, waiters, waiter));
    return waiter.answered;
  }

  /** How many RECVs wait. */
  get count(): number {
    let count = 0;
    for (const { size } of this.#waiters.values()) count += size;
    return count;
  }

  /** Answers all waiters, and from now on every RECV at once. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#check);
    for (const [address, waiters] of this.#waiters)
      for (const waiter of waiters.all) this.#dismiss(address, waiters, waiter);
  }

  async #recvAtOnce(address: number, options: RecvOptions, asker: Asker): Promise<Delivery[]> {
    const untilMs = performance.now() + POLL_PATIENCE_MS;
    let received = await recv(this.queues, address, options, { asker });
    while (received.againMs === 0) {
      // there may be messages, once Redis has put in order what has fallen due
      if (performance.now() > untilMs) throw tooMuchHasEnded();
      received = await recv(this.queues, address, options, { asker, isBegun: true });
    }
    return received.messages;
  }

  #session(address: number): object | undefined {
    return this.invalidations.session(queueKey(this.queues.settings.keyPrefix, address));
  }

  /** Whether the last poll found nothing, and Redis would have reported a change since then. */
  #isQuiet(address: number, waiters: WaiterQueue): boolean {
    return (
      waiters.pollingFor === undefined && waiters.session !== undefined && waiters.session === this.#session(address)
    );
  }

  /** The waiter's time is up. */
  #end(address: number, waiters: WaiterQueue, waiter: Waiter): void {
    waiter.endTime();
    if (this.#isQuiet(address, waiters)) this.#dismiss(address, waiters, waiter);
    else void this.#poll(address, waiters);
  }

  /** Answers without another poll, unless one is under way for this waiter: the messages that it takes are for this waiter. */
  #dismiss(address: number, waiters: WaiterQueue, waiter: Waiter): void {
    waiter.endTime();
    if (waiters.pollingFor === waiter) return;
    waiters.answer(waiter, []);
    this.#tidy(address, waiters);
  }

  #tidy(address: number, waiters: WaiterQueue): void {
    if (!waiters.isEmpty || waiters.pollingFor !== undefined) return;
    waiters.setDue(undefined, () => undefined);
    if (this.#waiters.get(address) === waiters) this.#waiters.delete(address);
  }

  /** @param key a key that was read and has changed; undefined: any of them may have */
  #wake(key: string | undefined): void {
    if (key === undefined) {
      for (const waiters of this.#waiters.values()) waiters.session = waiters.pollSession = undefined;
      void this.#pollWhereMissed();
      return;
    }
    const address = Number(/\{(\d+)\}/.exec(key)?.[1]);
    const waiters = this.#waiters.get(address);
    if (waiters !== undefined) void this.#poll(address, waiters);
  }

  /**
   * Polls where changes may have been missed and will be reported from now on: the connection was lost, or the queue's slot was
   * moved.
   */
  async #pollWhereMissed(): Promise<void> {
    const missed = [...this.#waiters].filter(([address, waiters]) => this.#hasMissed(address, waiters));
    for (let i = 0; i < missed.length; i += POLLED_AT_ONCE) {
      // an earlier call that is still under way may have polled some of them meanwhile
      const some = missed
        .slice(i, i + POLLED_AT_ONCE)
        .filter(([address, waiters]) => this.#hasMissed(address, waiters));
      await Promise.all(some.map(([address, waiters]) => this.#poll(address, waiters)));
    }
  }

  /** Redis reports changes now, but did not at the last poll, nor when the one that is under way started. */
  #hasMissed(address: number, { session, pollSession }: WaiterQueue): boolean {
    const now = this.#session(address);
    return now !== undefined && now !== session && now !== pollSession;
  }

  /** Polls for the first waiter, then for the next, as long as there is a reason to. Never throws. */
  async #poll(address: number, waiters: WaiterQueue): Promise<void> {
    waiters.isDirty = true;
    if (waiters.pollingFor !== undefined) return;
    for (let first = waiters.first; first !== undefined && waiters.isDirty; first = waiters.first) {
      waiters.isDirty = false;
      waiters.polls++;
      waiters.pollingFor = first;
      await this.#pollFor(first, address, waiters);
      waiters.pollingFor = waiters.pollSession = undefined;
    }
    this.#tidy(address, waiters);
  }

  async #pollFor(first: Waiter, address: number, waiters: WaiterQueue): Promise<void> {
    const session = (waiters.pollSession = this.#session(address));
    try {
      const { found, isTracked } = await this.#read(session, address, first, waiters);
      const { messages, againMs } = found;
      waiters.session = isTracked ? session : undefined;
      waiters.isBegun = messages.length === 0 && againMs === 0;
      if (messages.length > 0) {
        waiters.answer(first, messages);
        waiters.isDirty = true; // the poll itself has changed the queue, which Redis does not report
      } else if (againMs === 0) {
        waiters.isDirty = true;
        if (first.isOverdue(POLL_PATIENCE_MS)) waiters.refuse(first, tooMuchHasEnded());
      } else {
        waiters.setDue(againMs, () => void this.#poll(address, waiters));
        for (const waiter of waiters.covered) if (waiter.timeUp) waiters.answer(waiter, []);
      }
    } catch (error) {
      this.#fail(error, first, waiters);
    }
  }

  async #read(
    session: object | undefined,
    address: number,
    { options, caller }: Waiter,
    { isBegun }: WaiterQueue,
  ): Promise<{ found: Received; isTracked: boolean }> {
    const how = { asker: caller, isBegun };
    if (session === undefined) return { found: await recv(this.queues, address, options, how), isTracked: false };
    const { keyPrefix: prefix } = this.queues.settings;
    const keys = [queueKey, leasesKey, delayedKey, backedKey].map((name) => name(prefix, address));
    // the value of the last slice counts, which found no more messages
    let isTracked = false;
    const read: RecvManner['read'] = async (slice) => {
      const reading = await this.invalidations.trackedRead(keys as [string, ...string[]], (redis) =>
        slice(redis as Queues['redis']),
      );
      ({ isTracked } = reading);
      return reading.found;
    };
    return { found: await recv(this.queues, address, options, { ...how, read }), isTracked };
  }

  /**
   * Existing waiters outlast a Redis outage; those who arrived during it, or whose time is up, get 503. If the poll that broke
   * off has taken a message, the message returns when its lease ends: the first waiter waits for another, but is not answered
   * that there was none. Any other error concerns the first waiter alone.
   */
  #fail(error: unknown, first: Waiter, waiters: WaiterQueue): void {
    waiters.session = undefined;
    if (!(error instanceof BrokerError) || error.reason !== 'unavailable') {
      waiters.refuse(first, error);
      waiters.isDirty = true;
      return;
    }
    if (error.outcome === 'unknown') first.doubt = error;
    for (const waiter of waiters.covered) {
      const hasJustJoined = waiter.pollsBefore === waiters.polls - 1;
      if (waiter.timeUp || hasJustJoined) waiters.refuse(waiter, error);
    }
  }
}

const tooMuchHasEnded = (): BrokerError =>
  new BrokerError('overloaded', 'very many leases or lives of this queue have just ended: try again', {
    retryAfterS: 1,
    outcome: 'not_done',
  });
