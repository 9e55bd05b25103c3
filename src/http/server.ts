// The listening socket: limits on slow and broken clients, and a stop that loses no request.
import { STATUS_CODES, createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { BrokerError } from '../errors.js';
import { STATUS_OF, errorBody } from './failure.js';

/** A client must have sent its headers, and its whole request, within these times; an idle connection is kept for the third. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 15_000;
const KEEP_ALIVE_MS = 65_000;
/** How often Node looks for connections that are over the limits. */
const CHECK_MS = 1_000;
/** Requests under way get this long to finish once a stop is asked for. */
const DRAIN_MS = 9_000;

export function createHttpServer(listener: (req: IncomingMessage, res: ServerResponse) => unknown): Server {
  const server = createServer(
    {
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
      noDelay: true,
      // nothing here depends on it, and clients written by hand leave it out
      requireHostHeader: false,
    },
    listener,
  );
  // what a client expects beyond 100-continue changes nothing in how it is answered
  server.on('checkExpectation', listener);
  server.on('request', (req: IncomingMessage, res: ServerResponse) => latestReply.set(req.socket, res));
  // not in Node's documents, but in its server since 0.x: a client that has sent all and closed its side is answered
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  server.on('clientError', answerBrokenRequest);
  return server;
}

/** @returns the port, which the system chose if `port` is 0 */
export function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Stops accepting, lets the requests under way finish, and cuts what is left after {@link DRAIN_MS}. */
export async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearTimeout(cut);
}

/** The reply to the latest request on each connection. */
const latestReply = new WeakMap<Socket, ServerResponse>();

/** What Node's parser refused never becomes a request: it is answered on the bare socket, in the shape of every error. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const due = latestReply.get(socket);
  if (due?.req.complete && !due.writableFinished) {
    // this reply would be taken for the one to the whole request before: that one goes first
    due.once('close', () => answerBrokenRequest(error, socket));
    return;
  }
  const failure = brokenRequest(error);
  const body = errorBody(failure);
  const code = STATUS_OF[failure.reason];
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function brokenRequest({ code, message }: Error & { code?: string }): BrokerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new BrokerError(
      'request_timeout',
      `send the headers within ${HEADERS_MS / 1000} s and the request within ${REQUEST_MS / 1000} s`,
    );
  if (code === 'HPE_HEADER_OVERFLOW') return new BrokerError('headers_too_large', 'send less than 16 KiB of headers');
  return new BrokerError(
    'invalid_request',
    `this is not a valid HTTP/1.1 request (${message}); TLS and HTTP/2 are not spoken here`,
  );
}
