// Sheds load when the worker is overloaded: when its event loop is late, or when Redis has not answered too many commands.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import { isBatch } from '../../messages/json-text.js';

export interface PressureOptions {
  /** How late the event loop may be on average, ms. */
  maxDelayMs?: number | undefined;
  /** How many commands may wait for Redis's reply. */
  maxUnanswered?: number | undefined;
  unanswered: () => number;
  log: Logger;
}

/** 0: not overloaded. 1: over a limit, SENDs are refused. 2: over twice a limit, every request is. */
export type Level = 0 | 1 | 2;

const CHECK_MS = 100;
const RESOLUTION_MS = 20;
/**
 * Only the start of the text is checked, because nearly all clients send msg_type first. No two \s* of the pattern can match the
 * same whitespace: otherwise a body of whitespace alone would take quadratic time.
 */
const STARTS_AS_SEND = /^\s*(?:\[\s*)?\{\s*"msg_type"\s*:\s*(?:"MSG_SEND_REQ"|1(?=[\s,}]))/;

export class Pressure {
  #level: Level = 0;
  #refused = 0;
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: PressureOptions) {
    if (options.maxDelayMs !== undefined) this.#delays.enable();
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref();
  }

  get level(): Level {
    return this.#level;
  }

  /** To be called before a body is read. @throws BrokerError overloaded */
  check(): void {
    if (this.#level === 2) throw this.#overloaded();
  }

  /**
   * To be called before a body is parsed. SENDs are refused first: a SEND adds work, a FREE removes some.
   * @throws BrokerError overloaded
   */
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

  #check(): void {
    const { maxDelayMs = Infinity, maxUnanswered = Infinity, unanswered, log } = this.options;
    // the mean of the delays since the last check; NaN when none was measured
    const delayMs = Math.max(0, (this.#delays.mean || 0) / 1e6 - RESOLUTION_MS);
    this.#delays.reset();
    const commands = unanswered();
    const level = levelOf(Math.max(delayMs / maxDelayMs, commands / maxUnanswered));
    if (level > 0 && this.#level === 0)
      log.warn(
        { delayMs: Math.round(delayMs), commands },
        'overloaded: SENDs are answered 503, and every request at twice the limit',
      );
    if (level === 0 && this.#level > 0) {
      log.info({ refused: this.#refused }, 'no longer overloaded');
      this.#refused = 0;
    }
    this.#level = level;
  }

  #overloaded(): BrokerError {
    this.#refused += 1;
    return new BrokerError('overloaded', 'this worker is overloaded: nothing was done, try again', {
      outcome: 'not_done',
      retryAfterS: RETRY_AFTER_S,
    });
  }
}

const levelOf = (share: number): Level => (share > 2 ? 2 : share > 1 ? 1 : 0);
