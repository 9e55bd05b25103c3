// The listening socket: limits on slow and broken clients, and a graceful stop that loses no request.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { DRAIN_IDLE_MS, DRAIN_MS, REQUEST_HEADERS_MS, WHOLE_REQUEST_MS } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { countConnections, limitConnections } from './connection-limit.js';
import { rawRefusal, refuse } from '../failure.js';
import type { Memory } from '../limits/memory.js';
import { isAnswered, latestReplyOn, limitPipelining } from './pipelining.js';
import { setHalfOpen, stopAccepting } from './private-api.js';
import { createTlsServer, cutHandshakes } from './tls.js';
import type { Tls } from './tls.js';
import { cutStalled } from './unsent.js';

/** How often Node checks for connections that are over these times. */
const CHECK_MS = 1_000;

const OPTIONS = {
  headersTimeout: REQUEST_HEADERS_MS,
  requestTimeout: WHOLE_REQUEST_MS,
  connectionsCheckingInterval: CHECK_MS,
  noDelay: true,
  // nothing here depends on Host, and simple clients omit it
  requireHostHeader: false,
};

export interface ServerOptions {
  /** How long an idle connection is kept open, as every reply announces (AIZUMI_KEEP_ALIVE_MS). */
  keepAliveMs: number;
  maxConnections?: number | undefined;
  /** The account of the memory of connections; undefined: it is not counted. */
  memory?: Memory | undefined;
  /** Counts requests that are refused over a limit. */
  observer?: Observer | undefined;
  /** Undefined: plain HTTP. */
  tls?: Tls | undefined;
}

export function createHttpServer(
  listener: (req: IncomingMessage, res: ServerResponse) => unknown,
  { keepAliveMs, maxConnections, memory, tls, observer }: ServerOptions,
): Server {
  const options = { ...OPTIONS, keepAliveTimeout: keepAliveMs };
  const server = tls
    ? createTlsServer(tls, { ...options, handshakeTimeout: REQUEST_HEADERS_MS })
    : createServer(options);
  if (memory) countConnections(server, memory);
  limitPipelining(server);
  cutStalled(server, isAnswered, observer);
  const limited = maxConnections ? limitConnections(server, maxConnections, listener, observer) : listener;
  // Node parses a packet to its end even after its connection was destroyed
  server.on('request', (req, res) => {
    if (!req.socket.destroyed) limited(req, res);
  });
  // an Expect header other than 100-continue is ignored
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  // A client that has sent everything and closed its side still receives the reply. Not over TLS: a TLS connection that is
  // half closed and then reset would never be removed by Node.
  setHalfOpen(server, tls === undefined);
  server.on('clientError', answerBrokenRequest);
  return server;
}

/**
 * @param setting the name of the setting that the port comes from
 * @returns the port, which the system chose if `port` is 0
 * @throws Error that names the setting to change
 */
export function listen(server: Server, host: string, port: number, setting = 'AIZUMI_PORT'): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port, setting)));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number, setting: string): Error {
  const advice =
    error.code === 'EADDRINUSE'
      ? `port ${port} of ${host} is in use: set ${setting} to another, or stop the program that uses it`
      : `cannot listen on ${host}, port ${port} (${error.message}): set AIZUMI_HOST to an address of this machine ` +
        `and ${setting} to a port that this user may use`;
  return new Error(advice, { cause: error });
}

/**
 * Stops accepting connections, lets the requests under way finish, and cuts those that are left after {@link DRAIN_MS}.
 * Idle connections are closed only after {@link DRAIN_IDLE_MS}: a request may be on its way on any of them. Its reply then has
 * Connection: close (http/reply.ts), so that the client knows for certain that the connection ends.
 */
export async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => stopAccepting(server, resolve));
  const idle = setTimeout(() => {
    server.closeIdleConnections();
    cutHandshakes(server);
  }, DRAIN_IDLE_MS);
  const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearTimeout(idle);
  clearTimeout(cut);
}

/** Replies to what Node's parser refused, in the shape of every error, after the replies to the requests before it. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const failure = brokenRequest(error);
  const latest = latestReplyOn(socket);
  if (latest && !latest.req.complete && !latest.headersSent) {
    // the request is broken in its body, so there is a response for it
    // Node does not report to the body's reader that no more will arrive
    if (latest.req.listenerCount('error') > 0) latest.req.emit('error', error);
    refuse(latest, failure);
  } else if (latest && !latest.writableFinished) {
    latest.once('close', () => answerBrokenRequest(error, socket));
  } else {
    socket.end(rawRefusal(failure));
  }
}

function brokenRequest({ code, message }: Error & { code?: string }): BrokerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new BrokerError(
      'request_timeout',
      `send the headers within ${REQUEST_HEADERS_MS / 1000} s and the request within ${WHOLE_REQUEST_MS / 1000} s`,
    );
  if (code === 'HPE_HEADER_OVERFLOW') return new BrokerError('headers_too_large', 'send less than 16 KiB of headers');
  return new BrokerError(
    'invalid_request',
    `this is not a valid HTTP/1.1 request (${message}); TLS and HTTP/2 are not spoken here`,
  );
}
