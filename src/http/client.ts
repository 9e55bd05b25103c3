// Who sent a request, as long as it is not answered: whether there is still somebody to answer, and what that one may do.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Access } from '../access/permissions.js';
import type { Client, Deed } from '../messages/fields.js';
import { auditDone } from './audit.js';
import { Connection, isWithheld } from './connection.js';
import { nameOf } from './limits.js';
import type { Undos } from './undos.js';

export class HttpClient implements Client {
  #leaves: (() => void)[] = [];
  #undos: (() => Promise<void>)[] = [];
  traceparent: string | undefined;
  /** For the audit log; undefined: none is written. */
  log: Logger | undefined;
  res: ServerResponse | undefined;
  /** Of the reply, beyond the usual; undefined: none. */
  headers: Record<string, string> | undefined;

  constructor(
    private readonly socket: Socket,
    readonly access: Access,
    readonly count?: Client['count'],
  ) {}

  /** Nobody would read the reply, as far as it is known; a reply with nothing to undo is written where somebody might. */
  get isGone(): boolean {
    const mayBeLeft = this.#leaves.length > 0 || this.#undos.length > 0;
    return !this.socket.writable || (mayBeLeft && Connection.isLeft(this.socket));
  }

  get who(): string {
    return nameOf(this.access, this.socket);
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

  /** The request has been answered: the connection may bring another. */
  release(): void {
    if (this.#leaves.length > 0) Connection.of(this.socket).offLeave(this.#left);
  }

  readonly #left = (): void => this.#leaves.forEach((leave) => leave());
}
