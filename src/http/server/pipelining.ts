// Limits pipelining: requests that a client sends before the earlier ones on the same connection are answered. Node would parse
// all that arrive; here a connection with many unanswered requests is not read until half of them are answered (backpressure).
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { CUT_PIPELINED_OTHERS, CUT_PIPELINED_POSTS, MAX_PIPELINED } from '../../config/limits.js';

/** The reply to the latest request on each connection. */
const latestReply = new WeakMap<Socket, ServerResponse>();
const pipelines = new WeakMap<Socket, Pipeline>();

/** @returns the reply to the latest request on this connection; undefined: there was none */
export const latestReplyOn = (socket: Socket): ServerResponse | undefined => latestReply.get(socket);

/** Whether all requests on this connection have been answered, and the replies were sent. */
export const isAnswered = (socket: Socket): boolean => latestReply.get(socket)?.writableFinished ?? true;

/** To be called before anything else listens for requests. */
export function limitPipelining(server: Server): void {
  server.on('request', ({ socket }: IncomingMessage, res: ServerResponse) => {
    const previous = latestReply.get(socket);
    latestReply.set(socket, res);
    // most connections never have two requests under way
    if (previous === undefined || previous.writableFinished) return;
    let pipeline = pipelines.get(socket);
    if (pipeline === undefined) pipelines.set(socket, (pipeline = new Pipeline(socket, previous)));
    pipeline.add(res);
  });
}

class Pipeline {
  #unanswered = 0;
  #isHeld = false;

  constructor(
    private readonly socket: Socket,
    first: ServerResponse,
  ) {
    this.add(first);
    // Node also resumes a connection itself, for example to read a request's body
    socket.on('resume', () => {
      if (this.#isHeld) socket.pause();
    });
  }

  add(res: ServerResponse): void {
    this.#unanswered += 1;
    res.once('finish', this.#answered);
    if (this.#unanswered > (res.req.method === 'POST' ? CUT_PIPELINED_POSTS : CUT_PIPELINED_OTHERS))
      this.socket.destroy();
    if (this.#unanswered < MAX_PIPELINED || this.#isHeld) return;
    this.#isHeld = true;
    this.socket.pause();
  }

  readonly #answered = (): void => {
    this.#unanswered -= 1;
    if (!this.#isHeld || this.#unanswered >= MAX_PIPELINED / 2) return;
    this.#isHeld = false;
    this.socket.resume();
  };
}
