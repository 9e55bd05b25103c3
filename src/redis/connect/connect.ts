// The worker's main connection to Redis in any deployment shape, and the log lines about its loss and return.
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { formatError } from '../../names/authority.js';
import type { Observer } from '../../observe/observer.js';
import { parseRedisAddress } from '../../config/redis-url.js';
import type { RedisAccess } from '../../config/redis-url.js';
import { openCluster } from './cluster.js';
import { redisFailure } from '../failure.js';
import { unansweredOn } from '../private-api.js';
import { openPrimary } from './primary.js';
import { serverFaults } from './server-info.js';
import { SteadyPrimary } from './steady-primary.js';
import { watchCommands } from './watch-commands.js';

export type RedisClient = Redis | Cluster;

/** A Lua script in the form that ioredis registers: `client[name](...keys, ...args)` calls it then. */
export interface Script {
  lua: string;
  numberOfKeys: number;
}

export interface ConnectOptions {
  /** AIZUMI_REDIS_URL */
  url: string;
  access?: RedisAccess | undefined;
  scripts: Record<string, Script>;
  /** How long a command that Redis has certainly not executed is kept for a retry while Redis is interrupted, ms. */
  keepMs: number;
  log: Logger;
  observer?: Observer | undefined;
}

/** Opens the worker's connection, which reconnects by itself; its loss and its return are logged once each. */
export function connectRedis({ url, access, scripts, keepMs, log, observer }: ConnectOptions): RedisClient {
  const address = parseRedisAddress(url, access);
  const redis =
    address.shape === 'cluster' ? openCluster(address, { scripts }) : openPrimary(address, { scripts }, keepMs);
  watchCommands(redis, observer?.connections.main);
  reportLoss(redis, log);
  redis.on('ready', () => {
    serverFaults(redis).then(
      (faults) => faults.forEach((fault) => log.warn(fault)),
      (error: unknown) =>
        log.warn(
          { error },
          'could not read the settings of Redis: check appendonly, appendfsync and maxmemory-policy by hand',
        ),
    );
  });
  return redis;
}

function reportLoss(redis: RedisClient, log: Logger): void {
  // one log line for the loss and one for each further reason until Redis is back, not one for each attempt to connect
  const reasons = new Set<string>();
  const lose = (reason: string): void => {
    if (reasons.size === 0) log.error({ reason }, 'Redis is away: requests are answered 503 until it is back');
    else if (!reasons.has(reason)) log.warn({ reason }, 'Redis still cannot be reached');
    reasons.add(reason);
  };
  redis.on('error', (error: Error) => lose(formatError(error)));
  redis.on('close', () => {
    if (redis instanceof SteadyPrimary && redis.hasMovedOn)
      log.info('Redis has failed over: connecting to the new primary, requests wait');
    else if (reasons.size === 0 && redis.status !== 'end') lose('the connection was closed');
  });
  redis.on('ready', () => {
    if (reasons.size > 0) log.info('Redis is back');
    reasons.clear();
  });
}

/** Resolves when the current attempt to connect has succeeded or failed; at once when connected. */
export async function connectionAttempt(redis: RedisClient): Promise<void> {
  if (redis.status !== 'ready') await attemptEnd(redis);
  if (redis instanceof Cluster) await Promise.all(redis.nodes('master').map(connectionAttempt));
}

function attemptEnd(redis: RedisClient): Promise<void> {
  return new Promise((resolve) => {
    const events = ['ready', 'error', 'close', 'end'];
    const done = (): void => {
      events.forEach((event) => redis.off(event, done));
      resolve();
    };
    events.forEach((event) => redis.on(event, done));
  });
}

/** How many commands were sent, or wait to be sent, and have no reply yet. */
export function unansweredCommands(redis: RedisClient): number {
  const nodes = redis instanceof Cluster ? redis.nodes() : [redis];
  const kept = redis instanceof SteadyPrimary ? redis.kept : 0;
  return nodes.reduce((sum, node) => sum + unansweredOn(node), kept);
}

/** Resolves when Redis answers. @throws BrokerError unavailable */
export async function ping(redis: RedisClient): Promise<void> {
  try {
    await redis.ping();
  } catch (error) {
    throw redisFailure(error);
  }
}
