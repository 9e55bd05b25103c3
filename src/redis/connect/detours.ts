// Commands that a Cluster node refused because their slot is being moved: retried, in their order, until the move lets them through.
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerError } from '../../errors.js';
import { CLUSTER_NOT_SENT, NOT_SENT } from '../private-api.js';
import { isPassing } from './steady-primary.js';

/** The node has done nothing. It names the node to go to, or cannot say yet. */
export interface Redirection {
  kind: 'MOVED' | 'ASK' | 'TRYAGAIN' | 'NOSCRIPT';
  /** With MOVED and ASK. */
  slot?: number;
  /** host:port, with MOVED and ASK. */
  node?: string;
}

/**
 * Carries a command out.
 * @param asked the node that ASK has named: ASKING goes before the command; undefined: the node that the map of slots names
 */
export type Attempt<T> = (asked: string | undefined) => Promise<T>;

interface Waiting {
  readonly attempt: Attempt<unknown>;
  readonly untilMs: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** The last one; undefined: not tried yet. */
  refusal: unknown;
}

/** A command is retried for this long: with its first try and its answer that is within the second that a request may take. */
export const RETRY_MS = 600;
const PAUSE_MS = 20;
/** Redirections in a row that are followed at once; after that with a pause, since the nodes do not agree yet. */
const MOST_HOPS = 3;

/** @returns undefined where `error` is no redirection, or where something may have been done before it came */
export function redirectionIn(error: unknown): Redirection | undefined {
  if (error instanceof BrokerError && error.outcome !== 'not_done') return undefined;
  const cause = error instanceof BrokerError ? error.cause : error;
  const message = cause instanceof Error ? cause.message : '';
  const [, kind, slot, node] = /^(MOVED|ASK) (\d{1,5}) (\S+)/.exec(message) ?? [];
  if (node !== undefined) return { kind: kind as 'MOVED' | 'ASK', slot: Number(slot), node };
  if (message.startsWith('NOSCRIPT')) return { kind: 'NOSCRIPT' };
  const isTemporary = message.startsWith('TRYAGAIN') || message === NOT_CONNECTED || isPassing(cause);
  return isTemporary ? { kind: 'TRYAGAIN' } : undefined;
}

/** An attempt's error when the node's connection is still being opened. */
export const NOT_CONNECTED = `${CLUSTER_NOT_SENT}: the connection to the node that has the key is being opened`;

/**
 * One line for each name, such as a queue. Commands of a line are carried out in the order in which they were refused or came:
 * the first is retried alone, and when it is through, the others follow in one packet. A command that comes while its line is
 * open must join it, or it would overtake.
 */
export class Detours {
  readonly #lines = new Map<string, Waiting[]>();

  /**
   * @param follow notes the node that has a slot from now on
   * @param retryMs a command is retried for this long
   */
  constructor(
    private readonly follow: (slot: number, node: string) => void,
    private readonly retryMs = RETRY_MS,
  ) {}

  /** Lines that are open: none, almost always. */
  get size(): number {
    return this.#lines.size;
  }

  isOpen(name: string): boolean {
    return this.#lines.has(name);
  }

  /**
   * Carries `attempt` out, behind those of its line if there is one.
   * @throws what the attempt throws; after `retryMs` the last redirection: nothing was done
   */
  async carryOut<T>(name: string, attempt: Attempt<T>): Promise<T> {
    if (this.#lines.has(name)) return this.join(name, attempt);
    const sinceMs = performance.now();
    try {
      return await attempt(undefined);
    } catch (error) {
      if (redirectionIn(error) === undefined) throw error;
      return this.join(name, attempt, error, sinceMs);
    }
  }

  /** The same for one that has been refused, or that comes while its line is open. */
  join<T>(name: string, attempt: Attempt<T>, refusal?: unknown, sinceMs = performance.now()): Promise<T> {
    return new Promise((resolve, reject) => {
      const untilMs = sinceMs + this.retryMs;
      const waiting = { attempt, untilMs, refusal, resolve: resolve as (value: unknown) => void, reject };
      this.#add(name, waiting);
      setTimeout(() => this.#expire(name, waiting), Math.max(0, untilMs - performance.now())).unref();
    });
  }

  /** Ends one that still waits for its turn: the first, which is being tried, may take longer than it has. */
  #expire(name: string, waiting: Waiting): void {
    const line = this.#lines.get(name) ?? [];
    const at = line.indexOf(waiting);
    if (at < 1) return;
    line.splice(at, 1);
    waiting.reject(waiting.refusal ?? line[0]?.refusal ?? new Error(NOT_SENT));
  }

  #add(name: string, waiting: Waiting): void {
    const line = this.#lines.get(name);
    if (line !== undefined) {
      if (waiting.untilMs > performance.now()) line.push(waiting);
      else waiting.reject(waiting.refusal);
      return;
    }
    const opened = [waiting];
    this.#lines.set(name, opened);
    void this.#carryOut(name, opened);
  }

  async #carryOut(name: string, line: Waiting[]): Promise<void> {
    for (let [first] = line; first !== undefined; [first] = line) {
      const asked = await this.#through(first);
      line.shift();
      if (asked !== false) {
        this.#release(name, line, asked);
        return;
      }
    }
    this.#lines.delete(name);
  }

  /** @returns the node that was asked when it was answered, undefined: the slot's own; false when its time was up */
  async #through(first: Waiting): Promise<string | undefined | false> {
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

  /** All leave in this turn, in their order. Those that are refused again join a line again, in their order. */
  #release(name: string, line: Waiting[], asked: string | undefined): void {
    this.#lines.delete(name);
    for (const waiting of line) {
      waiting.attempt(asked).then(waiting.resolve, (error: unknown) => {
        if (redirectionIn(error) === undefined) waiting.reject(error);
        else this.#add(name, Object.assign(waiting, { refusal: error }));
      });
    }
  }
}
