// ioredis is used in this folder only. Connections that fail fast while Redis is away and come back by themselves.
import type { Socket } from 'node:net';
import { Cluster, Redis } from 'ioredis';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { parseRedisAddress } from '../redis-address.js';
import type { RedisAddress } from '../redis-address.js';
import { redisFailure } from './failure.js';
import { serverFaults } from './server-info.js';

export type RedisClient = Redis | Cluster;

/** A Lua script as ioredis wants it: `client[name](...keys, ...args)` calls it after registration. */
export interface Script {
  lua: string;
  numberOfKeys: number;
}

export interface ConnectOptions {
  /** AIZUMI_REDIS_URL */
  url: string;
  scripts: Record<string, Script>;
  log: Logger;
}

/** No reply for this long and the connection counts as lost: requests must be answered within 1 s. */
const SILENCE_MS = 800;
/** Redis's return is noticed within this time plus the handshake. */
const RECONNECT_MS = 100;
/** A Sentinel or a Cluster node that has not answered by then is passed over for the next. */
const ASK_MS = 400;

const FAIL_FAST = {
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
} satisfies RedisOptions;

/** Opens the worker's connection and keeps it: loss and return are logged once each. */
export function connectRedis({ url, scripts, log }: ConnectOptions): RedisClient {
  const address = parseRedisAddress(url);
  const redis = address.shape === 'cluster' ? openCluster(address, { scripts }) : openPrimary(address, { scripts });
  reportLoss(redis, log);
  redis.on('ready', () => {
    serverFaults(redis).then(
      (faults) => faults.forEach((fault) => log.warn(fault)),
      (error: unknown) => log.warn({ error }, 'Redis could not be asked for its settings'),
    );
  });
  return redis;
}

/** A connection to the one primary there is: of a single Redis, or the one that the Sentinels name. */
export function openPrimary(address: Exclude<RedisAddress, { shape: 'cluster' }>, options: RedisOptions): Redis {
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

function openSentinel(address: Extract<RedisAddress, { shape: 'sentinel' }>, options: RedisOptions): Redis {
  const { hosts, primary, db, tls, username, password, sentinelUsername, sentinelPassword } = address;
  const redis = new Redis({
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    sentinels: hosts,
    name: primary,
    db,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
    // a primary that became a replica: find the new one
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    // without it a connection to a primary that hangs and comes back stays with it after the fail-over
    failoverDetector: true,
    sentinelCommandTimeout: ASK_MS,
    sentinelRetryStrategy: () => RECONNECT_MS,
    sentinelReconnectStrategy: () => 1_000,
  });
  muteSentinels(redis);
  keepOpen(redis);
  return redis;
}

/**
 * ioredis gives a connection up for good when Sentinel's news of a fail-over arrives while it looks for the primary, which
 * it does all the time when there is none: the failoverDetector then aborts that attempt, as if by disconnect().
 */
function keepOpen(redis: Redis): void {
  let closed = false;
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect) => {
    closed ||= reconnect !== true;
    disconnect(reconnect);
  };
  // what it fails with was told as an error, and 'end' comes again
  redis.on('end', () => !closed && setTimeout(() => void redis.connect().catch(() => undefined), RECONNECT_MS));
}

/**
 * ioredis prints the errors of its failoverDetector's connections, for it gives them no listener: a Sentinel that is away
 * is tried again every second, and what that means for requests is told where the primary cannot be found.
 */
function muteSentinels(redis: Redis): void {
  const { connector } = redis as unknown as { connector: { connectToSentinel: (...args: unknown[]) => Redis } };
  const connectToSentinel = connector.connectToSentinel.bind(connector);
  connector.connectToSentinel = (...args) => connectToSentinel(...args).on('error', () => undefined);
}

function openCluster(
  { hosts, tls, username, password }: Extract<RedisAddress, { shape: 'cluster' }>,
  options: ClusterOptions,
): Cluster {
  const { retryStrategy, ...node } = FAIL_FAST;
  const cluster = new Cluster(hosts, {
    ...options,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // ioredis would send a command again whose connection broke: it may have been done
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: ASK_MS,
    slotsRefreshInterval: 1_000,
    redisOptions: {
      ...node,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls: {} }),
    },
  });
  // ioredis would connect to a node with the first command to it, and refuse those that come until that is done
  const connect = (redis: Redis): unknown => redis.status === 'wait' && redis.connect().catch(() => undefined);
  cluster.on('+node', (redis: Redis) => {
    redis.on('connect', () => joinWrites(redis.stream));
    // not before it has found the nodes: it tries them one after the other
    if (cluster.status === 'ready') setImmediate(connect, redis);
  });
  cluster.on('ready', () => cluster.nodes().forEach(connect));
  return cluster;
}

/** A connection of its own to one node of the Cluster. */
export function openNode(
  { tls, username, password }: Extract<RedisAddress, { shape: 'cluster' }>,
  { host, port }: { host: string; port: number },
  options: RedisOptions,
): Redis {
  const redis = new Redis({
    ...FAIL_FAST,
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    host,
    port,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
  });
  redis.on('connect', () => joinWrites(redis.stream));
  return redis;
}

function reportLoss(redis: RedisClient, log: Logger): void {
  // one line for the loss, and one for each other reason that comes up until the return: not one for each attempt
  const reasons = new Set<string>();
  const lose = (reason: string): void => {
    if (reasons.size === 0) log.error({ reason }, 'Redis is away: requests are answered 503 until it is back');
    else if (!reasons.has(reason)) log.warn({ reason }, 'Redis cannot be reached yet');
    reasons.add(reason);
  };
  redis.on('error', (error: Error) => lose(error.message));
  redis.on('close', () => {
    if (reasons.size === 0 && redis.status !== 'end') lose('the connection was closed');
  });
  redis.on('ready', () => {
    if (reasons.size > 0) log.info('Redis is back');
    reasons.clear();
  });
}

/** Resolves when the attempt to connect that is under way has ended, one way or the other; at once when connected. */
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
