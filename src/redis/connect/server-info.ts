// Checks, at every (re)connection, that the version and the settings of Redis fit what aizumi promises.
import type { Cluster, Redis } from 'ioredis';

/**
 * Reads INFO and returns a sentence for each setting of this server that puts messages at risk.
 * Valkey reports the Redis version that it is compatible with.
 */
export async function serverFaults(redis: Redis | Cluster): Promise<string[]> {
  const info = parseInfo(await redis.info());
  const version = info.get('redis_version') ?? 'unknown';
  const faults: string[] = [];
  if (!(Number.parseInt(version, 10) >= 7)) faults.push(`Redis ${version} is too old: aizumi needs 7.0 or newer`);
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction')
    faults.push(`Redis may evict messages: set maxmemory-policy to noeviction (it is ${policy})`);
  if (info.get('aof_enabled') === '0')
    faults.push('Redis keeps messages in memory only: a restart of Redis loses them; set appendonly yes');
  else if ((await appendfsync(redis)) !== 'always')
    faults.push(
      'Redis acknowledges messages before they are on disk: a power cut loses the last ones; set appendfsync always',
    );
  return faults;
}

/** Managed Redis services and ACLs may refuse CONFIG: then no fault is reported, and checking is left to the operator. */
async function appendfsync(redis: Redis | Cluster): Promise<string> {
  try {
    return (await redis.config('GET', 'appendfsync'))[1] ?? 'always';
  } catch {
    return 'always';
  }
}

function parseInfo(text: string): Map<string, string> {
  const fields = text.split('\r\n').map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  return new Map(fields);
}
