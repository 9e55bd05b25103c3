// Connections to a Redis Cluster: the worker's connection over all nodes, and connections to single nodes.
import { Cluster, Redis } from 'ioredis';
import type { ClusterOptions, Command, RedisOptions } from 'ioredis';
import { names } from '../../names/host-names.js';
import type { ClusterAddress } from '../../config/redis-url.js';
import { withTimeout } from '../../timing/timeout.js';
import { ASK_MS, FAIL_FAST } from './connection-options.js';
import { Detours, NOT_CONNECTED } from './detours.js';
import { joinWrites } from './join-writes.js';
import { keepLogin, keepLogins, loginOptions } from './login.js';
import { kindOf, primaryOfSlot, refreshSlots, setPrimaryOfSlot, slotOfKey, socketOf } from '../private-api.js';

/** Errors after which the node has done nothing and the command is retried (detours.ts). CLUSTERDOWN is returned instead. */
const REDIRECTED = /^(MOVED|ASK|TRYAGAIN|NOSCRIPT)/;

/**
 * Sends a command straight to the connection of the primary that has its key, which costs the worker a few percent less CPU than
 * ioredis's own routing (docs/benchmarks.md). Redirected commands are retried by {@link Detours}: ioredis would retry each on
 * its own, so that one could overtake another.
 */
class RoutedCluster extends Cluster {
  readonly #nodes = new Map<string, Redis>();
  /**
   * Nodes named in redirections that ioredis does not know: it knows only nodes with slots, and refreshes those once a second.
   */
  readonly #named = new Map<string, Redis>();
  readonly #detours = new Detours((slot, node) => this.follow(slot, node));
  /** Native commands by name, scripts by their class. */
  readonly #kinds = new Map<unknown, number>();

  constructor(
    private readonly address: ClusterAddress,
    options: ClusterOptions,
  ) {
    super(address.hosts, options as object);
    this.on('+node', (redis: Redis) => this.#nodes.set(nodeName(redis.options), redis));
    this.on('-node', (redis: Redis) => {
      const name = nodeName(redis.options);
      if (this.#nodes.get(name) === redis) this.#nodes.delete(name);
    });
  }

  override sendCommand(command: Command, ...how: [stream?: undefined, node?: unknown]): unknown {
    // `how` is given for a pipeline, and for a script that is being loaded
    const isRouted = how.every((given) => given === undefined) && this.status === 'ready';
    if (!isRouted) return super.sendCommand(command, ...how);
    const slot = command.getSlot();
    if (this.#detours.size > 0 && typeof slot === 'number' && this.#detours.isOpen(this.#detourName(command))) {
      this.#detour(command);
      return command.promise;
    }
    const redis = this.#connected(primaryOfSlot(this, slot) ?? '');
    if (redis === undefined) return super.sendCommand(command, ...how);
    const { reject } = command;
    command.reject = (error) => {
      command.reject = reject;
      if (REDIRECTED.test(error.message)) this.#detour(command, error);
      else reject.call(command, error);
    };
    return redis.sendCommand(command);
  }

  override disconnect(reconnect = false): void {
    super.disconnect(reconnect);
    this.#named.forEach((redis) => redis.disconnect());
  }

  /** Records that `node` has `slot` from now on, as a reply MOVED reported, and has ioredis refresh its map of slots. */
  follow(slot: number, node: string): void {
    if (primaryOfSlot(this, slot) === node) return;
    setPrimaryOfSlot(this, slot, node);
    if (!this.#nodes.has(node)) this.#open(node);
    refreshSlots(this, () => undefined);
  }

  #connected(node: string): Redis | undefined {
    const redis = this.#nodes.get(node);
    if (redis?.status === 'ready') return redis;
    if (this.#named.size === 0) return undefined;
    const named = this.#named.get(node);
    return named?.status === 'ready' ? named : undefined;
  }

  #open(node: string): void {
    if (this.#named.has(node)) return;
    const redis = openNode(this.address, node, { retryStrategy: () => null });
    redis.on('error', () => undefined);
    redis.on('end', () => this.#named.delete(node));
    this.#named.set(node, redis);
  }

  /** Names the queue of {@link Detours} that a command joins: commands of one kind for one key keep their order. */
  #detourName(command: Command): string {
    const kind = kindOf(command);
    const known = this.#kinds.get(kind) ?? this.#kinds.size;
    this.#kinds.set(kind, known);
    return `${known} ${String(command.getKeys()[0])}`;
  }

  #detour(command: Command, refusal?: Error): void {
    const attempt = (asked: string | undefined): Promise<void> => this.#attempt(command, asked);
    this.#detours
      .join(this.#detourName(command), attempt, refusal)
      .catch((error: unknown) => command.reject(error as Error));
  }

  /** Sends the command once. It is settled only when it succeeded; an error rejects only this attempt. */
  #attempt(command: Command, asked: string | undefined): Promise<void> {
    const node = asked ?? primaryOfSlot(this, command.getSlot()) ?? '';
    const redis = this.#connected(node);
    if (redis === undefined) {
      if (node !== '') this.#open(node);
      return Promise.reject(new Error(NOT_CONNECTED));
    }
    const { resolve, reject } = command;
    return new Promise((done, failed) => {
      command.resolve = (value) => {
        Object.assign(command, { resolve, reject });
        resolve.call(command, value);
        done();
      };
      command.reject = (error) => {
        Object.assign(command, { resolve, reject });
        failed(error);
      };
      // back to back, since ASKING applies to the next command only
      if (asked !== undefined) redis.asking().catch(() => undefined);
      redis.sendCommand(command);
    });
  }
}

/** Puts ASKING before the command that `write` issues, for a node that a reply ASK has named. */
export function writeAsking<T>(write: (redis: Redis) => Promise<T>): (redis: Redis) => Promise<T> {
  return (redis) => {
    redis.asking().catch(() => undefined);
    return write(redis);
  };
}

/** Records where a slot has moved, as a node reported on another connection than `redis`. */
export function followMove(redis: Redis | Cluster, slot: number, node: string): void {
  if (redis instanceof RoutedCluster) redis.follow(slot, node);
}

/**
 * ioredis resolves all hosts of the URL before it connects to any of them, and connects to none if one fails. So a host that
 * does not resolve keeps its name here, and only the connection to that host fails.
 */
const lookUpStartupNode: NonNullable<ClusterOptions['dnsLookup']> = (host, done) => {
  void withTimeout(ASK_MS, names.resolve(host)).then((found) => done(null, found?.[0]?.address ?? host));
};

/** A connection to whichever primary has the key of a command. */
export function openCluster(address: ClusterAddress, options: ClusterOptions): Cluster {
  const { retryStrategy, ...node } = FAIL_FAST;
  const cluster = new RoutedCluster(address, {
    ...options,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // otherwise ioredis would resend a command whose connection broke, which may have been executed
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: ASK_MS,
    slotsRefreshInterval: 1_000,
    dnsLookup: lookUpStartupNode,
    redisOptions: { ...node, ...loginOptions(address) },
  });
  keepLogins(cluster, address);
  // otherwise ioredis would connect to a node at the first command for it, and refuse commands until it is connected
  const connect = (redis: Redis): unknown => redis.status === 'wait' && redis.connect().catch(() => undefined);
  cluster.on('+node', (redis: Redis) => {
    redis.on('connect', () => joinWrites(socketOf(redis)));
    // not before ioredis has found the nodes: until then it tries them one after the other
    if (cluster.status === 'ready') setImmediate(connect, redis);
  });
  cluster.on('ready', () => cluster.nodes().forEach(connect));
  return cluster;
}

/** A node's name, the same as in ioredis's `slots`: host:port, without brackets around an IPv6 address. */
export const nodeName = ({ host, port }: { host?: string | undefined; port?: number | string | undefined }): string =>
  `${host}:${port}`;

/** The {@link nodeName} of the primary that has the key, undefined while that is not known; '' outside a Cluster. */
export const nodeOf = (redis: Redis | Cluster, key: string): string | undefined =>
  redis instanceof Cluster ? primaryOfSlot(redis, slotOfKey(key)) : '';

/** Opens a separate connection to one node of the Cluster. @param name its {@link nodeName} */
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
  redis.on('connect', () => joinWrites(socketOf(redis)));
  return redis;
}
