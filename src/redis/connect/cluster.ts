// Connections to a Redis Cluster: one over all its nodes, and single ones.
import { Cluster, Redis } from 'ioredis';
import type { ClusterOptions, Command, RedisOptions } from 'ioredis';
import { names } from '../../names/host-names.js';
import type { ClusterAddress } from '../../config/redis-url.js';
import { within } from '../../timing/timeout.js';
import { ASK_MS, FAIL_FAST } from './connection-options.js';
import { Detours, NOT_CONNECTED } from './detours.js';
import { joinWrites } from './join-writes.js';
import { keepLogin, keepLogins, loginOptions } from './login.js';
import { kindOf, primaryOfSlot, refreshSlots, setPrimaryOfSlot, slotOfKey, socketOf } from '../private-api.js';

/** The node has done nothing; with the others the command is retried (detours.ts). CLUSTERDOWN is an answer. */
const REDIRECTED = /^(MOVED|ASK|TRYAGAIN|NOSCRIPT)/;

/**
 * Sends a command straight to the connection of the primary that has its key: a few hundredths less for the worker than going
 * ioredis's way with each (docs/benchmarks.md). What a node redirects goes on in {@link Detours}, not ioredis's way: that sends
 * each command again for itself, so that one may overtake another.
 */
class RoutedCluster extends Cluster {
  readonly #nodes = new Map<string, Redis>();
  /** Nodes that redirections name and ioredis does not know: it knows those that have slots, and asks for them once a second. */
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
    // a pipeline or a script that is being loaded says how
    const isRouted = how.every((given) => given === undefined) && this.status === 'ready';
    if (!isRouted) return super.sendCommand(command, ...how);
    const slot = command.getSlot();
    if (this.#detours.size > 0 && typeof slot === 'number' && this.#detours.isOpen(this.#line(command))) {
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

  /** Notes that `node` has `slot` from now on, as it has said with MOVED, and has ioredis ask for all others that have moved. */
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

  /** Commands of one kind to one queue keep their order. */
  #line(command: Command): string {
    const kind = kindOf(command);
    const known = this.#kinds.get(kind) ?? this.#kinds.size;
    this.#kinds.set(kind, known);
    return `${known} ${String(command.getKeys()[0])}`;
  }

  #detour(command: Command, refusal?: Error): void {
    const attempt = (asked: string | undefined): Promise<void> => this.#attempt(command, asked);
    this.#detours.join(this.#line(command), attempt, refusal).catch((error: unknown) => command.reject(error as Error));
  }

  /** Sends it once. The command is settled when it was done, and not otherwise. */
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
      // back to back: ASKING is of the next command alone
      if (asked !== undefined) redis.asking().catch(() => undefined);
      redis.sendCommand(command);
    });
  }
}

/** Sends what `write` issues to a node that ASK has named. */
export function writeAsking<T>(write: (redis: Redis) => Promise<T>): (redis: Redis) => Promise<T> {
  return (redis) => {
    redis.asking().catch(() => undefined);
    return write(redis);
  };
}

/** Notes where a slot is from now on, by the word of a node that was asked on another connection than `redis`. */
export function followMove(redis: Redis | Cluster, slot: number, node: string): void {
  if (redis instanceof RoutedCluster) redis.follow(slot, node);
}

/**
 * ioredis looks up all nodes of the URL before it connects to any, and to none when one fails: such a one keeps its name here,
 * and what fails then is the connection to it alone.
 */
const lookUpStartupNode: NonNullable<ClusterOptions['dnsLookup']> = (host, done) => {
  void within(ASK_MS, names.resolve(host)).then((found) => done(null, found?.[0]?.address ?? host));
};

/** A connection to whichever primary has the key of a command. */
export function openCluster(address: ClusterAddress, options: ClusterOptions): Cluster {
  const { retryStrategy, ...node } = FAIL_FAST;
  const cluster = new RoutedCluster(address, {
    ...options,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    // ioredis would send a command again whose connection broke: it may have been done
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshTimeout: ASK_MS,
    slotsRefreshInterval: 1_000,
    dnsLookup: lookUpStartupNode,
    redisOptions: { ...node, ...loginOptions(address) },
  });
  keepLogins(cluster, address);
  // ioredis would connect to a node with the first command to it, and refuse those that come until that is done
  const connect = (redis: Redis): unknown => redis.status === 'wait' && redis.connect().catch(() => undefined);
  cluster.on('+node', (redis: Redis) => {
    redis.on('connect', () => joinWrites(socketOf(redis)));
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
  redis instanceof Cluster ? primaryOfSlot(redis, slotOfKey(key)) : '';

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
  redis.on('connect', () => joinWrites(socketOf(redis)));
  return redis;
}
