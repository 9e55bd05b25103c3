// The client of a request until it is answered: whether it is still connected, what it may do, and what its reply may take.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Access } from '../access/permissions.js';
import { BATCH_ELEMENT_BYTES, WAITING_RECV_BYTES } from '../config/limits.js';
import type { Client, Deed } from '../messages/message-type.js';
import { auditDone } from './audit.js';
import { ClientGone } from './body.js';
import { Connection, isWithheld } from './server/connection.js';
import type { LoopTurns } from './limits/loop-turns.js';
import type { Account } from './limits/memory.js';
import { ReplyRoom } from './limits/reply-room.js';
import type { ReplyLimits } from './limits/reply-room.js';
import type { Undos } from './undos.js';
import type { Waits } from './limits/waits.js';

/** What a client may use of its worker. */
export interface ClientLimits extends ReplyLimits {
  readonly waits: Waits;
  readonly turns: LoopTurns;
  /** Counts a request of this address. */
  readonly count?: Client['count'];
  /** Counts the elements of a client's batch. */
  readonly countBatch?: ((who: string, size: number) => void) | undefined;
}

export class HttpClient implements Client {
  #leaves: (() => void)[] = [];
  #undos: (() => Promise<void>)[] = [];
  traceparent: string | undefined;
  /** For the audit log; undefined: there is none. */
  log: Logger | undefined;
  res: ServerResponse | undefined;
  /** The reply's headers beyond the usual ones; undefined: there are none. */
  headers: Record<string, string> | undefined;
  readonly room: ReplyRoom;
  readonly count: Client['count'];
  #elements = 0;

  constructor(
    readonly socket: Socket,
    readonly access: Access,
    private readonly account: Account,
    private readonly limits: ClientLimits,
  ) {
    this.room = new ReplyRoom(limits, account);
    this.count = limits.count;
  }

  async turn(isBegun = false): Promise<void> {
    await this.limits.turns.take(this.who, isBegun);
    if (this.socket.destroyed && !isBegun) throw new ClientGone('the client disconnected before its turn');
  }

  startBatch(size: number): void {
    this.account.take('requests', size * BATCH_ELEMENT_BYTES);
    this.#elements = size;
    this.limits.countBatch?.(this.who, size);
    this.room.share();
  }

  startWait(): void {
    this.account.check(WAITING_RECV_BYTES);
    this.limits.waits.begin(Connection.of(this.socket), this.who);
    this.account.force('waits', WAITING_RECV_BYTES);
  }

  endWait(): void {
    this.limits.waits.end(Connection.of(this.socket), this.who);
    this.account.give('waits', WAITING_RECV_BYTES);
  }

  /** Whether nobody will read the reply. In doubt the reply is written, unless something would have to be undone. */
  get isGone(): boolean {
    const mayBeLeft = this.#leaves.length > 0 || this.#undos.length > 0;
    return !this.socket.writable || (mayBeLeft && Connection.isLeft(this.socket));
  }

  get who(): string {
    return this.account.who;
  }

  get hasLeft(): boolean {
    return this.socket.readableEnded || this.socket.destroyed;
  }

  onLeave(leave: () => void): void {
    if (this.hasLeft) leave();
    else if (this.#leaves.push(leave) === 1) Connection.of(this.socket).onLeave(this.#left);
  }

  onUnanswered(undo: () => Promise<void>): void {
    this.#undos.push(undo);
  }

  audit(deed: Deed): void {
    if (this.log && this.res) auditDone(this.log, this.res, this.access, deed);
  }

  answerTraceparent(traceparent: string): void {
    this.headers = { traceparent };
  }

  /**
   * To be called as soon as the reply was written to `res`. From the moment the socket was given any byte of it, the client may
   * have read it, and nothing is undone. If the connection ends before that, what was done for the client alone is undone.
   */
  answered(res: ServerResponse, undos: Undos): void {
    if (this.#undos.length === 0) return;
    // the operating system refused the reply's first byte: the client had disconnected without this worker knowing
    if (this.socket.errored !== null || !res.writableEnded) this.undo(undos);
    else if (isWithheld(res)) {
      const handed = Connection.of(this.socket).wasHanded(res);
      undos.add(handed.then((wasHanded) => (wasHanded ? undefined : this.#undoAll())));
    }
  }

  /** Undoes what was done for this client alone, which receives no reply about it. */
  undo(undos: Undos): void {
    if (this.#undos.length > 0) undos.add(this.#undoAll());
  }

  async #undoAll(): Promise<void> {
    const results = await Promise.allSettled(this.#undos.map((undo) => undo()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** To be called when the reply was written: the connection may have another request. */
  release(): void {
    if (this.#leaves.length > 0) Connection.of(this.socket).offLeave(this.#left);
    if (this.#elements > 0) this.account.give('requests', this.#elements * BATCH_ELEMENT_BYTES);
    this.room.release();
  }

  readonly #left = (): void => this.#leaves.forEach((leave) => leave());
}
