// Who sent a request, as long as it is not answered: whether there is still somebody to answer, and what that one may do.
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

/** What a client may take of its worker. */
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
  /** For the audit log; undefined: none is written. */
  log: Logger | undefined;
  res: ServerResponse | undefined;
  /** Of the reply, beyond the usual; undefined: none. */
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
    if (this.socket.destroyed && !isBegun) throw new ClientGone('it has left before its turn');
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

  /** Nobody would read the reply, as far as it is known; a reply with nothing to undo is written where somebody might. */
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
   * To be called as soon as the reply was written to `res`. The client has been told once something of the reply was handed to
   * the socket, whether it reads it or not; otherwise what was done for it alone is undone when that is known.
   */
  answered(res: ServerResponse, undos: Undos): void {
    if (this.#undos.length === 0) return;
    // the system has refused the reply's first byte: the client was gone, and that was not known yet
    if (this.socket.errored !== null || !res.writableEnded) this.undo(undos);
    else if (isWithheld(res)) {
      const handed = Connection.of(this.socket).wasHanded(res);
      undos.add(handed.then((wasHanded) => (wasHanded ? undefined : this.#undoAll())));
    }
  }

  /** The client is not told. */
  undo(undos: Undos): void {
    if (this.#undos.length > 0) undos.add(this.#undoAll());
  }

  async #undoAll(): Promise<void> {
    const results = await Promise.allSettled(this.#undos.map((undo) => undo()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** The reply was handed to its connection, which may bring another request. */
  release(): void {
    if (this.#leaves.length > 0) Connection.of(this.socket).offLeave(this.#left);
    if (this.#elements > 0) this.account.give('requests', this.#elements * BATCH_ELEMENT_BYTES);
    this.room.release();
  }

  readonly #left = (): void => this.#leaves.forEach((leave) => leave());
}
