// Who sent a request, as long as it is not answered: whether there is still somebody to answer, and what that one may do.
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Access } from '../access/permissions.js';
import type { Client } from '../messages/fields.js';

export class HttpClient implements Client {
  #leaves: (() => void)[] = [];
  #undos: (() => Promise<void>)[] = [];
  traceparent: string | undefined;
  /** Of the reply, beyond the usual; undefined: none. */
  headers: Record<string, string> | undefined;

  constructor(
    private readonly socket: Socket,
    readonly access: Access,
    readonly count?: Client['count'],
  ) {}

  /**
   * Nobody would read the reply. A client that has closed its side alone still would; but most that wait and do so have gone,
   * and there is no telling.
   */
  get isGone(): boolean {
    return !this.socket.writable || (this.#leaves.length > 0 && this.socket.readableEnded);
  }

  onLeave(leave: () => void): void {
    if (this.socket.readableEnded || this.socket.destroyed) {
      leave();
      return;
    }
    if (this.#leaves.length === 0) this.socket.once('end', this.#left).once('close', this.#left);
    this.#leaves.push(leave);
  }

  onUnanswered(undo: () => Promise<void>): void {
    this.#undos.push(undo);
  }

  answerTraceparent(traceparent: string): void {
    this.headers = { traceparent };
  }

  /** The reply was not written. */
  async undo(log: Logger): Promise<void> {
    const results = await Promise.allSettled(this.#undos.map((undo) => undo()));
    for (const result of results)
      if (result.status === 'rejected')
        log.warn(
          { error: result.reason as unknown },
          'what a client was to get that has gone comes back by itself only',
        );
  }

  /** The request has been answered: the connection may bring another. */
  release(): void {
    if (this.#leaves.length > 0) this.socket.off('end', this.#left).off('close', this.#left);
  }

  readonly #left = (): void => this.#leaves.forEach((leave) => leave());
}
