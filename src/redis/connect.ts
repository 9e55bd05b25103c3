// ioredis is used here only: one connection that fails fast while Redis is away and comes back by itself.
import type { Socket } from 'node:net';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { redisFailure } from './failure.js';
import { serverFaults } from './server-info.js';

export type RedisClient = Redis;

/** A Lua script as ioredis wants it: `client[name](...keys, ...args)` calls it after registration. */
export interface Script {
  lua: string;
  numberOfKeys: number;
}

export interface ConnectOptions {
  /** redis://, rediss:// or unix:///path/of/socket */
  url: string;
  scripts: Record<string, Script>;
  log: Logger;
}

/** No reply for this long and the connection counts as lost: requests must be answered within 1 s. */
const SILENCE_MS = 800;
/** Redis's return is noticed within this time plus the handshake. */
const RECONNECT_MS = 100;

const FAIL_FAST = {
  // a command that cannot be sent now fails now; one that was cut off fails at once and is never sent again,
  // since it may have been done
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => RECONNECT_MS,
  connectTimeout: SILENCE_MS,
  socketTimeout: SILENCE_MS,
} satisfies RedisOptions;

/** Opens the worker's connection and keeps it: loss and return are logged once each. */
export function connectRedis({ url, scripts, log }: ConnectOptions): RedisClient {
  const options = { ...FAIL_FAST, scripts, connectionName: 'aizumi' };
  const redis = url.startsWith('unix:')
    ? new Redis({ ...options, path: decodeURIComponent(new URL(url).pathname) })
    : new Redis(url, options);
  let lost: string | undefined;
  const lose = (reason: string): void => {
    // one line for each reason, not for each attempt
    if (reason !== lost) log.error({ reason }, 'Redis is away: requests are answered 503 until it is back');
    lost = reason;
  };
  redis.on('error', (error: Error) => lose(error.message));
  redis.on('close', () => {
    if (lost === undefined && redis.status !== 'end') lose('the connection was closed');
  });
  redis.on('ready', () => {
    if (lost !== undefined) log.info('Redis is back');
    lost = undefined;
    serverFaults(redis).then(
      (faults) => faults.forEach((fault) => log.warn(fault)),
      (error: unknown) => log.warn({ error }, 'Redis could not be asked for its settings'),
    );
  });
  redis.on('connect', () => joinWrites(redis.stream));
  return redis;
}

/** Resolves when the first attempt to connect has ended, one way or the other. */
export function firstAttempt(redis: RedisClient): Promise<void> {
  return new Promise((resolve) => {
    for (const event of ['ready', 'error', 'close']) redis.once(event, () => resolve());
  });
}

/** Resolves when Redis answers. @throws BrokerError unavailable */
export async function ping(redis: RedisClient): Promise<void> {
  try {
    await redis.ping();
  } catch (error) {
    throw redisFailure(error);
  }
}

/** Sends what is written in one turn of the event loop with one system call: many requests, one packet to Redis. */
function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]): boolean => {
    if (socket.writableCorked === 0) {
      socket.cork();
      setImmediate(() => socket.uncork());
    }
    return write(...args);
  };
}
