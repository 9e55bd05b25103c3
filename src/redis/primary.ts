// A connection to the one primary there is: of a single Redis, or the one that the Sentinels name.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { SentinelAddress, SingleAddress } from '../redis-address.js';
import { FAIL_FAST } from './connection-options.js';
import { joinWrites } from './join-writes.js';
import { openSentinel } from './sentinel.js';

export function openPrimary(address: SingleAddress | SentinelAddress, options: RedisOptions): Redis {
  const all = { ...FAIL_FAST, ...options };
  const redis = address.shape === 'single' ? openSingle(address.url, all) : openSentinel(address, all);
  redis.on('connect', () => joinWrites(redis.stream));
  return redis;
}

function openSingle(url: string, options: RedisOptions): Redis {
  const exact = options as RedisOptions & { replyMapping: 'legacy' };
  if (!url.startsWith('unix:')) return new Redis(url, exact);
  return new Redis({ ...exact, path: decodeURIComponent(new URL(url).pathname) });
}
