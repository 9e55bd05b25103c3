// A connection to the only primary of a deployment without Cluster: a single Redis, or the primary that the Sentinels name.
import type { Redis, RedisOptions } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress, SingleAddress } from '../../config/redis-url.js';
import { FAIL_FAST, SILENCE_MS } from './connection-options.js';
import { openToAsk } from './idle-connections.js';
import { joinWrites } from './join-writes.js';
import { keepLogin, loginOptions } from './login.js';
import { PrimaryConnector } from './primary-connector.js';
import { connectorOption, removeSocketTimeout, socketOf } from '../private-api.js';
import { watchSilence } from './silence.js';
import { SteadyPrimary } from './steady-primary.js';

/** Timeout of the PING that checks whether a silent node is alive. It ends before the silence counts as a loss. */
const ALIVE_CHECK_MS = 300;
/** A node that answers that PING may be silent for at least this long, since its writes are paused. */
const PAUSED_MS = 1_000;

/**
 * @param keepMs how long commands that Redis has certainly not executed are kept during an interruption ({@link SteadyPrimary}),
 *   and how long a silent connection is kept while the node answers on another one; 0: neither
 */
export function openPrimary(address: SingleAddress | SentinelAddress, options: RedisOptions, keepMs = 0): Redis {
  const all = { ...FAIL_FAST, ...options };
  const redis = address.shape === 'single' ? openSingle(address, all, keepMs) : openWatched(address, all, keepMs);
  keepLogin(redis, address);
  redis.on('connect', () => joinWrites(socketOf(redis)));
  if (keepMs > 0) {
    removeSocketTimeout(redis);
    watchSilence(redis, {
      silenceMs: SILENCE_MS,
      longestMs: Math.max(PAUSED_MS, keepMs),
      isAlive: () => isAlive(redis, address),
    });
  }
  return redis;
}

function openSingle(address: SingleAddress, options: RedisOptions, keepMs: number): SteadyPrimary {
  const { url } = address;
  const exact = { ...options, ...loginOptions(address) };
  if (!url.startsWith('unix:')) return new SteadyPrimary(url, exact, keepMs);
  return new SteadyPrimary(undefined, { ...exact, path: decodeURIComponent(new URL(url).pathname) }, keepMs);
}

/** Whether the node at the other end answers on a new connection: an error reply counts too. */
async function isAlive(silent: Redis, address: RedisAddress): Promise<boolean> {
  const socket = socketOf(silent);
  const { path } = silent.options;
  const target = path ? { path } : { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
  const redis = openToAsk(target, address, ALIVE_CHECK_MS);
  try {
    await redis.ping();
    return true;
  } catch (error) {
    return error instanceof Error && error.name === 'ReplyError';
  } finally {
    redis.disconnect();
  }
}

const connectors = new WeakMap<Redis, PrimaryConnector>();

/** The node that a connection leads to, under the address by which Sentinels name it; undefined without Sentinels. */
export const targetOf = (redis: Redis): Host | undefined => connectors.get(redis)?.target;

function openWatched(address: SentinelAddress, options: RedisOptions, keepMs: number): SteadyPrimary {
  const connector = new PrimaryConnector(address, () => redis.moveOn());
  const redis: SteadyPrimary = new SteadyPrimary(
    undefined,
    {
      ...options,
      ...loginOptions(address),
      db: address.db,
      Connector: connectorOption(connector),
    },
    keepMs,
  );
  connectors.set(redis, connector);
  return redis;
}
