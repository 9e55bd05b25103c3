// Everything of node:http, node:net, node:tls and node:cluster that aizumi uses and that Node does not document.
// test/unit/private-api.test.ts has a test for each entry, which fails if a new version of Node no longer has it.
import type { Worker } from 'node:cluster';
import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { Socket } from 'node:net';

/** The connection beneath a TLS connection; of plain TCP undefined. */
export const wrappedBy = (socket: Socket): Socket | undefined =>
  (socket as Socket & { _parent?: Socket | null })._parent ?? undefined;

/** Whether a client that has closed its side is still answered; in Node's HTTP server since 0.x. */
export function setHalfOpen(server: Server, isAllowed: boolean): void {
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = isAllowed;
}

/** Stops accepting and leaves the idle connections open: http.Server's own close() closes them at once. */
export const stopAccepting = (server: Server, closed: () => void): void =>
  void NetServer.prototype.close.call(server, closed);

/** Whether the server that a request came to still accepts connections: node:net keeps the server in each of its sockets. */
export const isAccepting = (res: ServerResponse): boolean | undefined =>
  (res.socket as { server?: { listening: boolean } } | null)?.server?.listening;

/** What node:cluster sends to a worker and gets back, lib/internal/cluster/utils.js; a connection is `newconn`. */
interface ClusterMessage {
  act?: string;
  seq?: number;
  ack?: number;
  accepted?: boolean;
}

/** A connection that node:cluster hands to a worker. */
export interface Handle {
  close(): void;
}

interface HandOver {
  /** Called when `connection` is sent to the worker, whose answer has the same number. */
  onGiven(seq: number, connection: Handle): void;
  /** The worker has taken the connection, or has not. Called after node:cluster has dealt with the answer. */
  onAnswered(seq: number, isAccepted: boolean): void;
}

/** Watches the messages by which node:cluster hands connections to `worker`. */
export function watchHandOver({ process: child }: Worker, handOver: HandOver): void {
  const send = child.send.bind(child) as (...args: unknown[]) => boolean;
  child.send = (message: ClusterMessage, connection?: unknown, ...more: unknown[]): boolean => {
    if (message.act === 'newconn') handOver.onGiven(message.seq as number, connection as Handle);
    return send(message, connection, ...more);
  };
  child.on('internalMessage', ({ ack, accepted }: ClusterMessage) => {
    if (ack !== undefined) handOver.onAnswered(ack, accepted === true);
  });
}
