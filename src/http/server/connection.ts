// A client's connection, for requests that wait: calls back when the client disconnects, and knows which replies were not sent
// when the connection ended. Its two listeners are added once, when they are first needed.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const known = new WeakMap<Socket, Connection>();

/**
 * Whether Node withholds a reply until the replies to earlier requests on its connection are written. The socket has not been
 * given any of it, so nobody can have read it.
 */
export const isWithheld = (res: ServerResponse): boolean => res.writableLength > (res.socket?.writableLength ?? 0);

export class Connection {
  readonly #leaves = new Set<() => void>();
  readonly #withheld = new Map<ServerResponse, (wasHanded: boolean) => void>();

  /** RECVs on it that wait (http/limits/waits.ts). */
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
   * Whether the client closed its side of the connection while a request waited. It might still read the reply, but most clients
   * that do so have disconnected, and the two cannot be told apart.
   */
  static isLeft(socket: Socket): boolean {
    const connection = socket.readableEnded ? known.get(socket) : undefined;
    return connection !== undefined && connection.#isLeft;
  }

  /** Calls back when the client closes the connection, or its side of it. */
  onLeave(leave: () => void): void {
    this.#leaves.add(leave);
  }

  offLeave(leave: () => void): void {
    this.#leaves.delete(leave);
  }

  /** @returns whether the socket was given a withheld reply before the connection ended, once that is known */
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
