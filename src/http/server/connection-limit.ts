// Limits on connections. Those over the worker's number are answered 503, as long as there are not too many of them; those of a
// machine that has more than its share of the worker's memory are reset.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { CONNECTION_BYTES, MAX_REFUSED_CONNECTIONS, RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { refuse } from '../failure.js';
import { clientOf } from '../limits/limits.js';
import type { Memory } from '../limits/memory.js';
import { wrappedBy } from './private-api.js';

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

/**
 * Counts the memory of connections. A machine whose connections would use more than its share gets no further one: it is reset,
 * since a reply would use more memory. Only the memory of connections counts here; requests over the limit are answered 503.
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
 * Refuses connections over the limit. A reply before the first request would look like a broken connection to the client, so the
 * first request is answered 503 without being read. Connections over MAX_REFUSED_CONNECTIONS more are reset.
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
    if (open > most + MAX_REFUSED_CONNECTIONS) socket.resetAndDestroy();
    else if (open > most) refused.add(socket);
  });
  return (req, res) => {
    // of TLS the connection that it is on, which is the one that was counted
    if (!refused.has(wrappedBy(req.socket) ?? req.socket)) {
      listener(req, res);
      return;
    }
    if (req.method === 'POST') observer?.refused(failure.reason);
    refuse(res, failure);
  };
}
