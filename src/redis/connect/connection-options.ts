// Options of every connection to Redis: commands fail fast while Redis is away, and the connection is reopened by itself.
import type { RedisOptions } from 'ioredis';
import { NamedConnector } from './named-connector.js';

/** No reply for this long and the connection counts as lost: requests must be answered within 1 s. */
export const SILENCE_MS = 800;
/** Pause between attempts to connect: the return of Redis is noticed within this time plus the handshake. */
export const RECONNECT_MS = 100;
/** Timeout of a question to a Sentinel or a Cluster node; then the next one is asked. */
export const ASK_MS = 400;

export const FAIL_FAST = {
  connectionName: 'aizumi',
  // a command that cannot be sent now fails now; one that was cut off fails at once and is never sent again,
  // since it may have been done
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => RECONNECT_MS,
  connectTimeout: SILENCE_MS,
  socketTimeout: SILENCE_MS,
  // a hung server does not close its side of the connection either
  disconnectTimeout: 50,
  Connector: NamedConnector,
} satisfies RedisOptions;
