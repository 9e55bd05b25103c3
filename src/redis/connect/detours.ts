// Retries commands that a Cluster node refused because their slot is being moved, in their order, until a node accepts them.
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerError } from '../../errors.js';
import { CLUSTER_NOT_SENT, NOT_SENT } from '../private-api.js';
import { isTransient } from './steady-primary.js';

/** A node's refusal of a command that it has not executed: it names the node to use, or cannot name one yet. */
export interface Redirection {
  kind: 'MOVED' | 'ASK' | 'TRYAGAIN' | 'NOSCRIPT';
  /** With MOVED and ASK. */
  slot?: number;
  /** host:port, with MOVED and ASK. */
  node?: string;
}

/**
 * Sends a command once.
 * @param asked the node that ASK named, to which ASKING is sent first; undefined: the node that the map of slots names
 */
export type Attempt<T> = (asked: string | undefined) => Promise<T>;

interface Waiting {
  readonly attempt: Attempt<unknown>;
  readonly untilMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** The error of the last attempt; undefined before the first. */
  refusal: unknown;
}

/** How long a command is retried, so that with its first attempt and its reply it stays under the second a request may take. */
export const RETRY_MS = 600;
const PAUSE_MS = 20;
/** Consecutive redirections that are followed at once; further ones follow after a pause, since the nodes do not agree yet. */
const MOST_HOPS = 3;

/** @returns undefined if `error` is no redirection, or if something may have been executed before it */
export function redirectionIn(error: unknown): Redirection | undefined {
  if (error instanceof BrokerError && error.outcome !== 'not_done') return undefined;
  const cause = error instanceof BrokerError ? error.cause : error;
  const message = cause instanceof Error ? cause.message : '';
  const [, kind, slot, node] = /^(MOVED|ASK) (\d{1,5}) (\S+)/.exec(message) ?? [];
  if (node !== undefined) return { kind: kind as 'MOVED' | 'ASK', slot: Number(slot), node };
  if (message.startsWith('NOSCRIPT')) return { kind: 'NOSCRIPT' };
  const isTemporary = message.startsWith('TRYAGAIN') || message === NOT_CONNECTED || isTransient(cause);
  return isTemporary ? { kind: 'TRYAGAIN' } : undefined;
}

/** The error of an attempt while the connection to the node is still being opened. */
export const NOT_CONNECTED = `${CLUSTER_NOT_SENT}: the connection to the node that has the key is being opened`;

/**
 * Keeps a retry queue for each name, while it has commands. Its commands are sent in the order in which they were refused or
 * arrived: the first is retried alone, and once it succeeds, the others follow in one packet. A command that arrives while the
 * queue of its name is open must join it, or it would overtake the others.
 */
export class Detours {
  readonly #queues = new Map<string, Waiting[]>();

  /**
   * @param follow records the node that has a slot from now on
   * @param retryMs how long a command is retried
   */
  constructor(
    private readonly follow: (slot: number, node: string) => void,
    private readonly retryMs = RETRY_MS,
  ) {}

  /** How many queues are open: almost always none. */
  get size(): number {
    return this.#queues.size;
  }

  isOpen(name: string): boolean {
    return this.#queues.has(name);
  }

  /**
   * Makes the attempt at once, or behind the queue of its name if one is open.
   * @throws what the attempt throws; after `retryMs` the last redirection: then nothing was done
   */
  async carryOut<T>(name: string, attempt: Attempt<T>): Promise<T> {
    if (this.#queues.has(name)) return this.join(name, attempt);
    const sinceMs = performance.now();
    try {
      return await attempt(undefined);
    } catch (error) {
      if (redirectionIn(error) === undefined) throw error;
      return this.join(name, attempt, error, sinceMs);
    }
  }

  /** The same for a command that has been refused, or that arrives while its queue is open. */
  join<T>(name: string, attempt: Attempt<T>, refusal?: unknown, sinceMs = performance.now()): Promise<T> {
    return new Promise((resolve, reject) => {
      const untilMs = sinceMs + this.retryMs;
      const waiting = { attempt, untilMs, refusal, resolve: resolve as (value: unknown) => void, reject };
      this.#add(name, waiting);
      setTimeout(() => this.#expire(name, waiting), Math.max(0, untilMs - performance.now())).unref();
    });
  }

  /** Rejects a command whose time is up before its turn. The first is being tried, and its attempt ends by itself. */
  #expire(name: string, waiting: Waiting): void {
    const queue = this.#queues.get(name) ?? [];
    const at = queue.indexOf(waiting);
    if (at < 1) return;
    queue.splice(at, 1);
    waiting.reject(waiting.refusal ?? queue[0]?.refusal ?? new Error(NOT_SENT));
  }

  #add(name: string, waiting: Waiting): void {
    const queue = this.#queues.get(name);
    if (queue !== undefined) {
      if (waiting.untilMs > performance.now()) queue.push(waiting);
      else waiting.reject(waiting.refusal);
      return;
    }
    const opened = [waiting];
    this.#queues.set(name, opened);
    void this.#drain(name, opened);
  }

  async #drain(name: string, queue: Waiting[]): Promise<void> {
    for (let [first] = queue; first !== undefined; [first] = queue) {
      const asked = await this.#retry(first);
      queue.shift();
      if (asked !== false) {
        this.#release(name, queue, asked);
        return;
      }
    }
    this.#queues.delete(name);
  }

  /**
   * Retries the first command of a queue until it succeeds, fails with another error, or its time is up.
   * @returns the node that ASK named and that replied; undefined: the node in the map of slots replied; false: its time is up
   */
  async #retry(first: Waiting): Promise<string | undefined | false> {
    for (let hops = 0; ; hops++) {
      const redirection = redirectionIn(first.refusal);
      const { kind, slot, node } = redirection ?? {};
      if (kind === 'MOVED') this.follow(slot as number, node as string);
      if (redirection !== undefined && performance.now() > first.untilMs) {
        first.reject(first.refusal);
        return false;
      }
      if (kind === 'TRYAGAIN' || hops >= MOST_HOPS) await sleep(PAUSE_MS);
      const asked = kind === 'ASK' ? node : undefined;
      try {
        first.resolve(await first.attempt(asked));
        return asked;
      } catch (error) {
        if (redirectionIn(error) === undefined) {
          first.reject(error);
          return asked;
        }
        first.refusal = error;
      }
    }
  }

  /**
   * Sends all in this turn of the event loop, in their order. Those that are refused again join a new queue in the same order.
   */
  #release(name: string, queue: Waiting[], asked: string | undefined): void {
    this.#queues.delete(name);
    for (const waiting of queue) {
      waiting.attempt(asked).then(waiting.resolve, (error: unknown) => {
        if (redirectionIn(error) === undefined) waiting.reject(error);
        else this.#add(name, Object.assign(waiting, { refusal: error }));
      });
    }
  }
}
