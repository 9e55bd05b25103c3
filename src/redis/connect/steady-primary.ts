// A connection to a primary that bridges short interruptions, such as a planned fail-over: commands that Redis has certainly not
// executed are kept, for a bounded time, until the connection leads to a primary that accepts them.
import { Command, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { NOT_SENT, isOfScript, socketOf, unansweredOn } from '../private-api.js';
import type { CommandItem } from '../private-api.js';

/**
 * Errors after which the same command may soon be accepted: the node has been demoted (READONLY), is a new primary whose replicas
 * have not connected yet (NOREPLICAS), or is loading its data. Redis has changed nothing, inside a script too: there the first
 * write is already refused. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
 */
const TRANSIENT = new Set(['READONLY', 'NOREPLICAS', 'LOADING', 'MASTERDOWN']);

/** Commands that ioredis itself sends when it connects, and queries about the present state. */
const NEVER_KEPT = new Set(['hello', 'auth', 'select', 'client', 'info', 'readonly', 'ping']);

const RETRY_MS = 20;
const DRAIN_STEP_MS = 5;
/** Shortest time between two reconnections because of READONLY, for when the only node there is answers so. */
const LEAVE_AGAIN_MS = 5_000;

interface Kept {
  readonly command: Command;
  readonly untilMs: number;
  /** The error of its last attempt, with which it is rejected when its time is up. */
  refusal: Error;
}

type Stamped = Command & { sentMs?: number };

export const isTransient = (error: unknown): boolean =>
  error instanceof Error &&
  (error.message.startsWith(NOT_SENT) ||
    (error.name === 'ReplyError' && TRANSIENT.has(/^[A-Z]+/.exec(error.message)?.[0] ?? '')));

export class SteadyPrimary extends Redis {
  /** When the present interruption began; performance.now(), ms. */
  #interruptedMs: number | undefined;
  /** The last error with which Redis refused a command during this interruption. */
  #lastRefusal: Error | undefined;
  /** Commands that were sent and refused. They precede those in `#arrived`. */
  #refused: Kept[] = [];
  /** Commands that were issued during the interruption. */
  #arrived: Kept[] = [];
  /** The command that is being retried; the others wait for its result. */
  #probe: Kept | undefined;
  #hasBeenReady = false;
  #isLeaving = false;
  #hasMovedOn = false;
  #leftMs = -Infinity;
  #expiry: NodeJS.Timeout | undefined;

  /**
   * @param url undefined: the options have everything
   * @param keepMs how long a command is kept after it was issued, 0: not at all. Once an interruption has lasted this long,
   *   further commands are refused at once
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

  /** ioredis calls this for each error reply of Redis, before it rejects the command. */
  override handleReconnection(error: Error, item: CommandItem): void {
    const command = item.command as unknown as Stamped;
    if (error.message.startsWith('READONLY') && performance.now() > this.#leftMs + LEAVE_AGAIN_MS) this.moveOn();
    if (isTransient(error)) this.#lastRefusal = error;
    const isProbe = this.#probe?.command === command;
    const untilMs = this.#probe !== undefined && isProbe ? this.#probe.untilMs : (command.sentMs ?? 0) + this.keepMs;
    if (isProbe) this.#probe = undefined;
    if (!isTransient(error) || NEVER_KEPT.has(command.name) || performance.now() >= untilMs) {
      super.handleReconnection(error, item);
      return;
    }
    this.#interruptedMs ??= performance.now();
    const kept = { command: retryOf(command), untilMs, refusal: error };
    if (isProbe) this.#refused.unshift(kept);
    else this.#refused.push(kept);
    this.#schedule();
    setTimeout(() => this.#retry(), RETRY_MS).unref();
  }

  /** Whether it has left a node that was replaced, and is not connected to another yet. */
  get hasMovedOn(): boolean {
    return this.#hasMovedOn;
  }

  /** How many commands wait to be sent or are being retried. */
  get kept(): number {
    return this.#count + (this.#probe === undefined ? 0 : 1);
  }

  /**
   * Leaves a node that is no longer the primary, as soon as it has replied to everything it was sent. Writes that a planned
   * fail-over has paused there are refused when the node is demoted; without that reply their outcome would be unknown.
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
    // the packet that is being read may hold more replies
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
      // in the next turn: ioredis must first have resent the probe as EVAL, if Redis did not know its script
      setImmediate(() => this.#release());
    };
    kept.command.promise.then(settled, settled);
    super.sendCommand(kept.command);
  }

  /** The interruption is over: sends all kept commands in this turn of the event loop, in their order. */
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
 * ioredis assumes that a script is loaded once it has sent EVAL, and would send EVALSHA the next time; but an EVAL that was
 * refused has not loaded it.
 * @returns the command to send when `command` is retried
 */
function retryOf(command: Command): Command {
  if (command.name !== 'eval' || !isOfScript(command)) return command;
  const plain = new Command('eval', command.args, { replyEncoding: 'utf8' });
  plain.promise.then(command.resolve, command.reject);
  return plain;
}
