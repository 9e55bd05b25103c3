// The listening socket: limits on slow and broken clients, and a stop that loses no request.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { countConnections, limitConnections } from './connection-limit.js';
import { refuse } from '../failure.js';
import type { Memory } from '../limits/memory.js';
import { isAnswered, latestReplyOn, limitPipelining } from './pipelining.js';
import { setHalfOpen, stopAccepting } from './private-api.js';
import { rawReply } from './raw-reply.js';
import { createTlsServer, cutHandshakes } from './tls.js';
import type { Tls } from './tls.js';
import { cutStalled } from './unsent.js';

/** A client must have sent its headers, and its whole request, within these times; both begin with a request's first byte. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 15_000;
/** How often Node looks for connections that are over the limits. */
const CHECK_MS = 1_000;
/** A client that has something to send has sent it by then; connections still idle are closed. */
const IDLE_MS = 300;
/** Requests under way get this long to finish once a stop is asked for. */
const DRAIN_MS = 9_000;

const OPTIONS = {
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  connectionsCheckingInterval: CHECK_MS,
  noDelay: true,
  // nothing here depends on it, and clients written by hand leave it out
  requireHostHeader: false,
};

export interface ServerOptions {
  /** How long an idle connection is kept, as every reply announces it (AIZUMI_KEEP_ALIVE_MS). */
  keepAliveMs: number;
  maxConnections?: number | undefined;
  /** Counts what connections take; undefined: nobody does. */
  memory?: Memory | undefined;
  /** Counts what is refused over that limit. */
  observer?: Observer | undefined;
  /** Undefined: plain HTTP. */
  tls?: Tls | undefined;
}

export function createHttpServer(
  listener: (req: IncomingMessage, res: ServerResponse) => unknown,
  { keepAliveMs, maxConnections, memory, tls, observer }: ServerOptions,
): Server {
  const options = { ...OPTIONS, keepAliveTimeout: keepAliveMs };
  const server = tls ? createTlsServer(tls, { ...options, handshakeTimeout: HEADERS_MS }) : createServer(options);
  if (memory) countConnections(server, memory);
  limitPipelining(server);
  cutStalled(server, isAnswered, observer);
  const heard = maxConnections ? limitConnections(server, maxConnections, listener, observer) : listener;
  // what comes in one packet is parsed to its end, also when its connection was cut at its beginning
  server.on('request', (req, res) => {
    if (!req.socket.destroyed) heard(req, res);
  });
  // what a client expects beyond 100-continue changes nothing in how it is answered
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  // A client that has sent everything and closed its side is answered. Not so over TLS: there a connection that is half closed
  // and then reset stays in Node for ever.
  setHalfOpen(server, tls === undefined);
  server.on('clientError', answerBrokenRequest);
  return server;
}

/**
 * @param setting that says which port
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
      : `cannot listen on ${host}, port ${port} (${error.message}): set AIZUMI_HOST to an address of this machine and ${setting} to a port that this user may use`;
  return new Error(advice, { cause: error });
}

/**
 * Stops accepting, lets the requests under way finish, and cuts what is left after {@link DRAIN_MS}.
 * Connections that are idle are closed last: a request may be on its way on any of them, and its reply says
 * Connection: close (http/reply), which is the only end of a connection that a client cannot miss.
 */
export async function drain(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => stopAccepting(server, resolve));
  const idle = setTimeout(() => {
    server.closeIdleConnections();
    cutHandshakes(server);
  }, IDLE_MS);
  const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearTimeout(idle);
  clearTimeout(cut);
}

/** What Node's parser refused is answered in the shape of every error, behind the replies to the requests before it. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const failure = brokenRequest(error);
  const latest = latestReplyOn(socket);
  if (latest && !latest.req.complete && !latest.headersSent) {
    // broken in its body: it has a reply of its own
    // Node tells nobody who reads the body that no more will come
    if (latest.req.listenerCount('error') > 0) latest.req.emit('error', error);
    refuse(latest.req, latest, failure);
  } else if (latest && !latest.writableFinished) {
    latest.once('close', () => answerBrokenRequest(error, socket));
  } else {
    socket.end(rawReply(failure));
  }
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
