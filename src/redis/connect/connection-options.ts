// What every connection to Redis has in common: it fails fast while Redis is away and comes back by itself.
import type { RedisOptions } from 'ioredis';
import { NamedConnector } from './named-connector.js';

/** No reply for this long and the connection counts as lost: requests must be answered within 1 s. */
export const SILENCE_MS = 800;
/** Redis's return is noticed within this time plus the handshake. */
export const RECONNECT_MS = 100;
/** A Sentinel or a Cluster node that has not answered by then is passed over for the next. */
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
  // what hangs does not say goodbye either
  disconnectTimeout: 50,
  Connector: NamedConnector,
} satisfies RedisOptions;
