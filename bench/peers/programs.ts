// The programs of peers, on the PATH or in the folder that bench/peers/prepare.sh fills, and the Redis of what stands on Redis.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { STOCK, startRedis, type RedisServer } from '../servers.js';
import type { Durability } from './system.js';

export const FOLDER = process.env.AIZUMI_LOAD_PEERS_FOLDER ?? '/var/tmp/aizumi-tools/peers';

const SEARCHED = [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
  join(FOLDER, 'usr/bin'),
  join(FOLDER, 'usr/sbin'),
];

export const programPath = (name: string): string | undefined =>
  SEARCHED.map((folder) => join(folder, name)).find((path) => existsSync(path));

/** The reason for skipping a system, for whoever reads the output. */
export function missingProgram(name: string, debianPackage: string): string | undefined {
  if (programPath(name)) return undefined;
  return `${name} is not installed: bench/peers/prepare.sh fetches it into ${FOLDER}, or apt-get install ${debianPackage}`;
}

/** What was extracted and not installed finds its libraries in its own folder. */
export function environmentFor(path: string): NodeJS.ProcessEnv {
  return path.startsWith(FOLDER)
    ? { ...process.env, LD_LIBRARY_PATH: join(FOLDER, 'usr/lib/x86_64-linux-gnu') }
    : process.env;
}

/** @param shipped with aizumi's own redis.conf instead of Redis's defaults */
export function redisFor(durability: Durability, shipped = false): Promise<RedisServer> {
  const log = durability === 'fsync' ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  return startRedis([...log, '--save', ''], shipped ? undefined : STOCK);
}

export async function redisVersion(redis: RedisServer): Promise<string> {
  const info = await redis.client.info('server');
  return `Redis ${/^redis_version:(\S+)/m.exec(info)?.[1] ?? '?'}`;
}
