// Whether this worker has more to do than it can: how late its event loop is, and how many commands Redis has not answered.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import { isBatch } from '../../messages/json-text.js';

export interface PressureOptions {
  /** How late the event loop may be on average, ms. */
  maxDelayMs?: number | undefined;
  /** How many commands may wait for Redis's answer. */
  maxUnanswered?: number | undefined;
  unanswered: () => number;
  log: Logger;
}

/** 0: all is well. 1: over a limit, no more SENDs. 2: over twice a limit, nothing more. */
export type Level = 0 | 1 | 2;

const LOOK_MS = 100;
const RESOLUTION_MS = 20;
/**
 * What is looked at is the start of the text: msg_type comes first in what nearly everybody sends. No two of its \s* can share
 * the same blanks: a body of nothing else would take time by its square.
 */
const STARTS_AS_SEND = /^\s*(?:\[\s*)?\{\s*"msg_type"\s*:\s*(?:"MSG_SEND_REQ"|1(?=[\s,}]))/;

export class Pressure {
  #level: Level = 0;
  #refused = 0;
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: PressureOptions) {
    if (options.maxDelayMs !== undefined) this.#delays.enable();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  get level(): Level {
    return this.#level;
  }

  /** Before a body is read. @throws BrokerError overloaded */
  check(): void {
    if (this.#level === 2) throw this.#overloaded();
  }

  /** Before a body is parsed: a SEND brings more to do, a FREE less. @throws BrokerError overloaded */
  checkText(text: string): void {
    if (this.#level === 0 || !STARTS_AS_SEND.test(text)) return;
    const failure = this.#overloaded();
    if (!isBatch(text)) failure.msgType = 'MSG_SEND_ACK';
    throw failure;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#delays.disable();
  }

  #look(): void {
    const { maxDelayMs = Infinity, maxUnanswered = Infinity, unanswered, log } = this.options;
    // the mean is of the times between looks; it is no number when there was none
    const delayMs = Math.max(0, (this.#delays.mean || 0) / 1e6 - RESOLUTION_MS);
    this.#delays.reset();
    const commands = unanswered();
    const level = levelOf(Math.max(delayMs / maxDelayMs, commands / maxUnanswered));
    if (level > 0 && this.#level === 0)
      log.warn(
        { delayMs: Math.round(delayMs), commands },
        'overloaded: SENDs are answered 503, at twice the limit all',
      );
    if (level === 0 && this.#level > 0) {
      log.info({ refused: this.#refused }, 'no longer overloaded');
      this.#refused = 0;
    }
    this.#level = level;
  }

  #overloaded(): BrokerError {
    this.#refused += 1;
    return new BrokerError('overloaded', 'this worker has more to do than it can: nothing was done, try again', {
      outcome: 'not_done',
      retryAfterS: RETRY_AFTER_S,
    });
  }
}

const levelOf = (share: number): Level => (share > 2 ? 2 : share > 1 ? 1 : 0);
