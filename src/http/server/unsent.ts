// Replies that the socket has not taken yet: they count in the worker's memory, and clients that take nothing are disconnected.
import type { ServerResponse } from 'node:http';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { STALL_MS } from '../../config/limits.js';
import type { Observer } from '../../observe/observer.js';
import type { Account } from '../limits/memory.js';

const known = new WeakMap<Socket, Unsent>();

/** The unsent replies of one connection. */
class Unsent {
  /** By reply: gives its memory back. */
  readonly #replies = new Map<ServerResponse, () => void>();

  constructor(socket: Socket) {
    // Node reports no end of the replies that wait behind the one that is being sent
    socket.once('close', () => {
      for (const give of this.#replies.values()) give();
      this.#replies.clear();
    });
  }

  add(res: ServerResponse, bytes: number, account: Account): void {
    account.force('replies', bytes);
    this.#replies.set(res, () => account.give('replies', bytes));
    res.once('finish', () => {
      this.#replies.get(res)?.();
      this.#replies.delete(res);
    });
  }
}

/**
 * To be called when a reply was written: sets the time after which {@link cutStalled} disconnects a client that takes nothing. It
 * starts when the earlier replies on the connection have been sent, and again whenever the client has taken some.
 */
export function limitStall(res: ServerResponse): void {
  if (res.writableLength > 0) res.setTimeout(STALL_MS);
}

/** To be called when a reply was written: counts the bytes that the operating system has not taken, until it has. */
export function countUnsent(res: ServerResponse, socket: Socket, account: Account): void {
  const bytes = res.writableLength;
  if (bytes === 0 || socket.destroyed) return;
  let unsent = known.get(socket);
  if (unsent === undefined) known.set(socket, (unsent = new Unsent(socket)));
  unsent.add(res, bytes, account);
}

/**
 * Closes connections without traffic until their timeout: idle ones, as Node would by itself, and those whose client does not
 * take its reply. A connection on which a RECV waits for a message stays open.
 * @param isAnswered whether all requests on a connection have been answered
 */
export function cutStalled(
  server: Server,
  isAnswered: (socket: Socket) => boolean,
  observer: Observer | undefined,
): void {
  server.on('timeout', (socket: Socket) => {
    const isStalled = socket.writableLength > 0;
    if (!isStalled && !isAnswered(socket)) return;
    if (isStalled) observer?.stalled();
    socket.destroy();
  });
}
