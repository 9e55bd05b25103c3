// A client's connection, for requests that outlast the moment: who is told when the client leaves, and which replies it ended
// before. Its two listeners are added once, when something on it needs them first.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const known = new WeakMap<Socket, Connection>();

/**
 * Node holds a reply back until those to the requests before it on its connection are written: nothing of it has been handed to the
 * socket, so nobody can have read any of it.
 */
export const isWithheld = (res: ServerResponse): boolean => res.writableLength > (res.socket?.writableLength ?? 0);

export class Connection {
  readonly #leaves = new Set<() => void>();
  readonly #withheld = new Map<ServerResponse, (wasHanded: boolean) => void>();

  /** RECVs on it that wait (http/waits). */
  waits = 0;
  #isLeft = false;

  private constructor(private readonly socket: Socket) {
    socket
      .once('end', () => {
        this.#isLeft = this.#leaves.size > 0;
        if (this.#isLeft && this.#withheld.size > 0) socket.destroy();
        this.#leaves.forEach((leave) => leave());
      })
      .once('close', () => {
        this.#leaves.forEach((leave) => leave());
        this.#withheld.forEach((settle, res) => settle(!isWithheld(res)));
      });
  }

  static of(socket: Socket): Connection {
    let connection = known.get(socket);
    if (connection === undefined) known.set(socket, (connection = new Connection(socket)));
    return connection;
  }

  /**
   * Whether the client has closed its own side while something waited. It may be there still; but most that wait and do so have
   * gone, and there is no telling.
   */
  static isLeft(socket: Socket): boolean {
    const connection = socket.readableEnded ? known.get(socket) : undefined;
    return connection !== undefined && connection.#isLeft;
  }

  /** Calls back when the client closes the connection, or its own side. */
  onLeave(leave: () => void): void {
    this.#leaves.add(leave);
  }

  offLeave(leave: () => void): void {
    this.#leaves.delete(leave);
  }

  /** @returns whether a reply that is withheld was handed to the socket before the connection ended, once that is known */
  wasHanded(res: ServerResponse): Promise<boolean> {
    if (this.socket.closed) return Promise.resolve(!isWithheld(res));
    return new Promise((resolve) => {
      const settle = (wasHanded: boolean): void => {
        this.#withheld.delete(res);
        resolve(wasHanded);
      };
      this.#withheld.set(res, settle);
      res.once('finish', () => settle(true));
    });
  }
}
