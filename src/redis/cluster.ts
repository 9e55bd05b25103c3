// Connections to a Redis Cluster: one over all its nodes, and single ones.
import { Cluster, Command, Redis } from 'ioredis';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { ClusterAddress } from '../redis-address.js';
import { ASK_MS, FAIL_FAST } from './connection-options.js';
import { joinWrites } from './join-writes.js';
import { keepLogin, keepLogins, loginOptions } from './login.js';

/** The node has done nothing, and says where the key is, or that it cannot say yet. */
const REDIRECTED = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)/;

/**
 * Sends a command straight to the connection of the primary that has its key, and lets ioredis go its own way only where that
 * refuses it: a few hundredths less for the worker than going that way with each (docs/benchmarks.md).
 */
class RoutedCluster extends Cluster {
  readonly #nodes = new Map<string, Redis>();

  constructor(hosts: ClusterAddress['hosts'], options: ClusterOptions) {
    super(hosts, options as object);
    this.on('+node', (redis: Redis) => this.#nodes.set(nodeName(redis.options), redis));
    this.on('-node', (redis: Redis) => {
      const name = nodeName(redis.options);
      if (this.#nodes.get(name) === redis) this.#nodes.delete(name);
    });
  }

  override sendCommand(command: Command, ...how: [stream?: undefined, node?: unknown]): unknown {
    // a pipeline or a script that is being loaded says how
    const redis =
      how.every((given) => given === undefined) && this.status === 'ready'
        ? this.#nodes.get(this.slots[command.getSlot()]?.[0] ?? '')
        : undefined;
    if (redis?.status !== 'ready') return super.sendCommand(command, ...how);
    const { reject } = command;
    command.reject = (error) => {
      command.reject = reject;
      if (REDIRECTED.test(error.message)) super.sendCommand(command);
      else reject.call(command, error);
    };
    return redis.sendCommand(command);
  }
}

/** A connection to whichever primary has the key of a command. */
export function openCluster(address: ClusterAddress, options: ClusterOptions): Cluster {
  const { retryStrategy, ...node } = FAIL_FAST;
  const cluster = new RoutedCluster(address.hosts, {
    ...options,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // ioredis would send a command again whose connection broke: it may have been done
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: ASK_MS,
    slotsRefreshInterval: 1_000,
    redisOptions: { ...node, ...loginOptions(address) },
  });
  keepLogins(cluster, address);
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

/** What a node is called, by ioredis's `slots` too: host:port, without brackets if that is IPv6. */
export const nodeName = ({ host, port }: { host?: string | undefined; port?: number | string | undefined }): string =>
  `${host}:${port}`;

/** The primary that has the key in a Cluster, by its {@link nodeName}, undefined while that is not known; '' elsewhere. */
export const nodeOf = (redis: Redis | Cluster, key: string): string | undefined =>
  redis instanceof Cluster ? redis.slots[new Command('exists', [key]).getSlot()]?.[0] : '';

/** A connection of its own to one node of the Cluster, by its {@link nodeName}. */
export function openNode(address: ClusterAddress, name: string, options: RedisOptions): Redis {
  const colon = name.lastIndexOf(':');
  const redis = new Redis({
    ...FAIL_FAST,
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    host: name.slice(0, colon),
    port: Number(name.slice(colon + 1)),
    ...loginOptions(address),
  });
  keepLogin(redis, address);
  redis.on('connect', () => joinWrites(redis.stream));
  return redis;
}
