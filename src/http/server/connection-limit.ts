// The limits of connections: those beyond the number are told so, as long as that can be told cheaply; those of a client that has
// more than its share of the worker's memory are reset.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { refuse } from '../failure.js';
import { clientOf } from '../limits/limits.js';
import type { Memory } from '../limits/memory.js';
import { wrappedBy } from './private-api.js';

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Connections beyond the limit that are heard: their first request is answered 503 and they are closed. */
const HEARD = 100;
const RETRY_AFTER_S = 1;

/** An idle one takes 10 KB, one that sends its headers for ever up to 16 KB more; measured, Node 20. */
const CONNECTION_BYTES = 16_384;

/**
 * Counts what connections take. One machine may have as many as it leaves room for; one more is reset: to tell it would take more.
 * What its requests hold is no reason: those are answered 503.
 */
export function countConnections(server: Server, memory: Memory): void {
  const connections = memory.another();
  server.on('connection', (socket: Socket) => {
    const machine = clientOf(socket);
    const account = connections.of(machine);
    try {
      account.take('connections', CONNECTION_BYTES);
    } catch {
      socket.resetAndDestroy();
      return;
    }
    memory.of(machine).force('connections', CONNECTION_BYTES);
    socket.once('close', () => {
      account.give('connections', CONNECTION_BYTES);
      memory.of(machine).give('connections', CONNECTION_BYTES);
    });
  });
}

/**
 * A client that connects is accepted before it says anything; a reply that comes before its request would be taken for a fault of
 * the connection. So those beyond the limit are refused with their first request, unread, and those beyond even that are reset.
 * @param most connections at once
 * @returns the listener for the server's requests
 */
export function limitConnections(
  server: Server,
  most: number,
  listener: Listener,
  observer: Observer | undefined,
): Listener {
  const failure = new BrokerError(
    'overloaded',
    `this worker has as many connections as it takes (AIZUMI_MAX_CONNECTIONS is ${most}): nothing was done, try again`,
    { outcome: 'not_done', retryAfterS: RETRY_AFTER_S },
  );
  const refused = new WeakSet<Socket>();
  let open = 0;
  server.on('connection', (socket: Socket) => {
    open += 1;
    socket.once('close', () => (open -= 1));
    if (open > most + HEARD) socket.resetAndDestroy();
    else if (open > most) refused.add(socket);
  });
  return (req, res) => {
    // of TLS the connection that it is on, which is the one that was counted
    if (!refused.has(wrappedBy(req.socket) ?? req.socket)) {
      listener(req, res);
      return;
    }
    if (req.method === 'POST') observer?.refused(failure.reason);
    refuse(req, res, failure);
  };
}
