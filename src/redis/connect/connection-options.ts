// Options of every connection to Redis: commands fail fast while Redis is away, and the connection reopens by itself.
import type { RedisOptions } from 'ioredis';
import { NamedConnector } from './named-connector.js';

/** A connection without a reply for this long counts as lost: requests must be answered within 1 s. */
export const SILENCE_MS = 800;
/** Pause between attempts to connect: the return of Redis is noticed within this time plus the handshake. */
export const RECONNECT_MS = 100;
/** Timeout of a query to a Sentinel or a node; then the next one is queried. */
export const ASK_MS = 400;

export const FAIL_FAST = {
  connectionName: 'aizumi',
  // a command that cannot be sent fails at once; one whose connection broke fails at once and is never resent,
  // since it may have been executed
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => RECONNECT_MS,
  connectTimeout: SILENCE_MS,
  socketTimeout: SILENCE_MS,
  // a hung server does not close its side of the connection
  disconnectTimeout: 50,
  Connector: NamedConnector,
} satisfies RedisOptions;
