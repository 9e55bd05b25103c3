// A connection to the one primary there is: of a single Redis, or the one that the Sentinels name.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Host, SentinelAddress, SingleAddress } from '../redis-address.js';
import { FAIL_FAST } from './connection-options.js';
import { joinWrites } from './join-writes.js';
import { keepLogin, loginOptions } from './login.js';
import { PrimaryConnector } from './primary-connector.js';

export function openPrimary(address: SingleAddress | SentinelAddress, options: RedisOptions): Redis {
  const all = { ...FAIL_FAST, ...options };
  const redis = address.shape === 'single' ? openSingle(address, all) : openWatched(address, all);
  keepLogin(redis, address);
  redis.on('connect', () => joinWrites(redis.stream));
  return redis;
}

function openSingle(address: SingleAddress, options: RedisOptions): Redis {
  const { url } = address;
  const exact = { ...options, ...loginOptions(address) } as RedisOptions & { replyMapping: 'legacy' };
  if (!url.startsWith('unix:')) return new Redis(url, exact);
  return new Redis({ ...exact, path: decodeURIComponent(new URL(url).pathname) });
}

const connectors = new WeakMap<Redis, PrimaryConnector>();

/** The node that a connection leads to, in the words of the Sentinels that named it; undefined without Sentinels. */
export const targetOf = (redis: Redis): Host | undefined => connectors.get(redis)?.target;

function openWatched(address: SentinelAddress, options: RedisOptions): Redis {
  const connector = new PrimaryConnector(address);
  const redis = new Redis({
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    ...loginOptions(address),
    db: address.db,
    // ioredis makes one of these for each client
    Connector: function takeConnector() {
      return connector;
    } as unknown as NonNullable<RedisOptions['Connector']>,
    // a primary that became a replica: find the new one
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  connectors.set(redis, connector);
  return redis;
}
