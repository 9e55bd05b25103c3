// A Redis of its own for each measurement of what stands on Redis.
import { fileURLToPath } from 'node:url';
import { startRedis, type RedisServer } from '../../bench/servers.js';
import type { Durability } from './system.js';

const SHIPPED = fileURLToPath(new URL('../../src/redis/redis.conf', import.meta.url));
let started = 0;

/** @param shipped with aizumi's own redis.conf instead of Redis's defaults */
export function redisFor(durability: Durability, shipped = false): Promise<RedisServer> {
  const log = durability === 'fsync' ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  return startRedis(`redis-peers-${++started}`, shipped ? SHIPPED : undefined, [...log, '--save', '']);
}

export async function redisVersion(redis: RedisServer): Promise<string> {
  const info = await redis.client.info('server');
  return `Redis ${/^redis_version:(\S+)/m.exec(info)?.[1] ?? '?'}`;
}

export const REDIS_DURABILITY = {
  none: 'Redis without AOF and RDB: in memory only.',
  fsync: 'Redis with appendfsync always: fsync before the reply, one for all commands of an event loop turn.',
};
