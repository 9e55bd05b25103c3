// Replies that the socket has not taken yet: they count in the worker's memory, and a client that takes nothing is cut.
import type { ServerResponse } from 'node:http';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { STALL_MS } from '../../config/limits.js';
import type { Observer } from '../../observe/observer.js';
import type { Account } from '../limits/memory.js';

const known = new WeakMap<Socket, Unsent>();

/** What has not been sent yet on one connection. */
class Unsent {
  /** By reply: gives back what it was counted with. */
  readonly #replies = new Map<ServerResponse, () => void>();

  constructor(socket: Socket) {
    // Node tells nothing of the replies that wait behind the one that is being sent
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
 * To be called when a reply was written, before {@link cutStalled} can do anything about it. The time starts when the replies
 * before it on the connection have been sent, and again whenever something of it was.
 */
export function limitStall(res: ServerResponse): void {
  if (res.writableLength > 0) res.setTimeout(STALL_MS);
}

/** To be called when a reply was written: what the system has not taken at once is counted until it has. */
export function countUnsent(res: ServerResponse, socket: Socket, account: Account): void {
  const bytes = res.writableLength;
  if (bytes === 0 || socket.destroyed) return;
  let unsent = known.get(socket);
  if (unsent === undefined) known.set(socket, (unsent = new Unsent(socket)));
  unsent.add(res, bytes, account);
}

/**
 * Closes connections on which nothing moved for as long as they were given: those that are idle, as Node would do by itself, and
 * those that do not take their reply. A connection on which a RECV waits for a message is neither.
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
