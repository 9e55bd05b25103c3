// A connection to a primary that keeps commands through a short interruption, such as a planned fail-over: what Redis has
// certainly not done waits, for a bounded time, until the connection leads to a primary that takes it.
import { Command, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { NOT_SENT, isOfScript, socketOf, unansweredOn } from '../private-api.js';
import type { CommandItem } from '../private-api.js';

/**
 * Errors after which the same command may soon be accepted: the node has been demoted (READONLY), or is a new primary without its
 * replicas (NOREPLICAS), or loads its data. Redis has done nothing, also when a script ran into it: a script's writes are
 * refused from the first on. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
 */
const PASSING = new Set(['READONLY', 'NOREPLICAS', 'LOADING', 'MASTERDOWN']);

/** ioredis's own when it connects, and what asks for the state at this moment. */
const NEVER_KEPT = new Set(['hello', 'auth', 'select', 'client', 'info', 'readonly', 'ping']);

const RETRY_MS = 20;
const DRAIN_STEP_MS = 5;
/** A node that answers READONLY and is the only one there is, is connected to again no sooner. */
const LEAVE_AGAIN_MS = 5_000;

interface Kept {
  readonly command: Command;
  readonly untilMs: number;
  /** The last one. */
  refusal: Error;
}

type Stamped = Command & { sentMs?: number };

export const isPassing = (error: unknown): boolean =>
  error instanceof Error &&
  (error.message.startsWith(NOT_SENT) ||
    (error.name === 'ReplyError' && PASSING.has(/^[A-Z]+/.exec(error.message)?.[0] ?? '')));

export class SteadyPrimary extends Redis {
  /** Since then the connection does not take commands; performance.now(), ms. */
  #interruptedMs: number | undefined;
  /** What Redis last refused a command with, in this interruption. */
  #lastRefusal: Error | undefined;
  /** Sent and refused; they come before those that came meanwhile. */
  #refused: Kept[] = [];
  #arrived: Kept[] = [];
  /** The one that is retried; the others wait for what becomes of it. */
  #probe: Kept | undefined;
  #hasBeenReady = false;
  #isLeaving = false;
  #hasMovedOn = false;
  #leftMs = -Infinity;
  #expiry: NodeJS.Timeout | undefined;

  /**
   * @param url undefined: the options say all
   * @param keepMs a command is kept for this long since it was issued, 0: not at all; and commands that are issued after an
   *   interruption has lasted for so long are refused at once
   */
  constructor(
    url: string | undefined,
    options: RedisOptions,
    private readonly keepMs: number,
  ) {
    super(...((url === undefined ? [options] : [url, options]) as [RedisOptions & { replyMapping: 'legacy' }]));
    this.on('ready', () => this.#resume());
    this.on('close', () => {
      this.#isLeaving = false;
      this.#probe = undefined;
      if (this.#hasBeenReady) this.#interruptedMs ??= performance.now();
    });
    this.on('end', () => this.#expire(Infinity));
  }

  override sendCommand(command: Command, ...how: [stream?: Parameters<Redis['sendCommand']>[1]]): unknown {
    if (this.keepMs > 0) (command as Stamped).sentMs = performance.now();
    const isInterrupted = this.#interruptedMs !== undefined || (this.#hasBeenReady && !socketOf(this).writable);
    if (!isInterrupted || NEVER_KEPT.has(command.name) || how.some((given) => given !== undefined))
      return super.sendCommand(command, ...how);
    const nowMs = performance.now();
    this.#interruptedMs ??= nowMs;
    const isShort = nowMs < Math.max(this.#interruptedMs, this.#leftMs) + this.keepMs;
    const kept = {
      command,
      untilMs: isShort ? nowMs + this.keepMs : nowMs,
      refusal: this.#lastRefusal ?? new Error(NOT_SENT),
    };
    if (isShort) this.#arrived.push(kept);
    else if (this.#isOpen && this.#count === 0) this.#try(kept);
    else command.reject(kept.refusal);
    this.#schedule();
    this.#retry();
    return command.promise;
  }

  /** ioredis's way for each error that Redis answers with. */
  override handleReconnection(error: Error, item: CommandItem): void {
    const command = item.command as unknown as Stamped;
    if (error.message.startsWith('READONLY') && performance.now() > this.#leftMs + LEAVE_AGAIN_MS) this.moveOn();
    if (isPassing(error)) this.#lastRefusal = error;
    const isProbe = this.#probe?.command === command;
    const untilMs = this.#probe !== undefined && isProbe ? this.#probe.untilMs : (command.sentMs ?? 0) + this.keepMs;
    if (isProbe) this.#probe = undefined;
    if (!isPassing(error) || NEVER_KEPT.has(command.name) || performance.now() >= untilMs) {
      super.handleReconnection(error, item);
      return;
    }
    this.#interruptedMs ??= performance.now();
    const kept = { command: again(command), untilMs, refusal: error };
    if (isProbe) this.#refused.unshift(kept);
    else this.#refused.push(kept);
    this.#schedule();
    setTimeout(() => this.#retry(), RETRY_MS).unref();
  }

  /** It has left a node that was replaced, and is not connected to another yet. */
  get hasMovedOn(): boolean {
    return this.#hasMovedOn;
  }

  /** Commands that wait to be sent. */
  get kept(): number {
    return this.#count + (this.#probe === undefined ? 0 : 1);
  }

  /**
   * Leaves a node that is no longer the primary, as soon as it has answered what it was sent: writes that a planned fail-over has
   * paused there are refused when it is demoted, and until then it is not known whether they are done.
   */
  moveOn(): void {
    if (this.#isLeaving) return;
    if (this.status !== 'ready') {
      this.disconnect(true);
      return;
    }
    this.#isLeaving = true;
    this.#hasMovedOn = true;
    this.#leftMs = performance.now();
    this.#interruptedMs ??= this.#leftMs;
    const socket = socketOf(this);
    const leave = (): void => {
      if (!this.#isLeaving || socketOf(this) !== socket) return;
      if (unansweredOn(this) > 0) setTimeout(leave, DRAIN_STEP_MS);
      else this.disconnect(true);
    };
    // the packet may have more answers
    setImmediate(leave);
  }

  get #count(): number {
    return this.#refused.length + this.#arrived.length;
  }

  get #isOpen(): boolean {
    return this.status === 'ready' && socketOf(this).writable && !this.#isLeaving;
  }

  #resume(): void {
    this.#hasBeenReady = true;
    this.#hasMovedOn = false;
    if (this.#count === 0) this.#end();
    else this.#retry();
  }

  #end(): void {
    this.#interruptedMs = undefined;
    this.#lastRefusal = undefined;
  }

  #retry(): void {
    if (this.#probe !== undefined || !this.#isOpen) return;
    const first = this.#refused.shift() ?? this.#arrived.shift();
    if (first !== undefined) this.#try(first);
  }

  #try(kept: Kept): void {
    this.#probe = kept;
    const settled = (): void => {
      if (this.#probe !== kept) return;
      this.#probe = undefined;
      // not before a script that Redis did not know was sent in full
      setImmediate(() => this.#release());
    };
    kept.command.promise.then(settled, settled);
    super.sendCommand(kept.command);
  }

  /** The interruption is over: all leave in this turn, in their order. */
  #release(): void {
    if (!this.#isOpen || this.#probe !== undefined) return;
    const all = [...this.#refused, ...this.#arrived];
    this.#refused = [];
    this.#arrived = [];
    this.#end();
    for (const { command } of all) super.sendCommand(command);
  }

  #schedule(): void {
    const [first] = [...this.#refused.slice(0, 1), ...this.#arrived.slice(0, 1)].sort((a, b) => a.untilMs - b.untilMs);
    if (first === undefined || this.#expiry !== undefined) return;
    this.#expiry = setTimeout(
      () => {
        this.#expiry = undefined;
        this.#expire(performance.now());
        this.#schedule();
      },
      Math.max(1, first.untilMs - performance.now()),
    );
  }

  #expire(nowMs: number): void {
    const expired = [...this.#refused, ...this.#arrived].filter(({ untilMs }) => untilMs <= nowMs);
    this.#refused = this.#refused.filter(({ untilMs }) => untilMs > nowMs);
    this.#arrived = this.#arrived.filter(({ untilMs }) => untilMs > nowMs);
    for (const { command, refusal } of expired) command.reject(refusal);
  }
}

/**
 * ioredis takes a script for loaded once it has sent EVAL, and would send EVALSHA the next time; an EVAL that was refused has not
 * loaded it.
 * @returns what carries `command` out when it is sent once more
 */
function again(command: Command): Command {
  if (command.name !== 'eval' || !isOfScript(command)) return command;
  const plain = new Command('eval', command.args, { replyEncoding: 'utf8' });
  plain.promise.then(command.resolve, command.reject);
  return plain;
}
