// The writes of SENDs at `quorum` or `all`, on connections of their own, to the primary of their key.
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { parseRedisAddress } from '../../config/redis-url.js';
import type { RedisAccess } from '../../config/redis-url.js';
import { followMove, nodeName, nodeOf, openNode, writeAsking } from '../connect/cluster.js';
import type { RedisClient, Script } from '../connect/connect.js';
import { checkFence } from './fence-check.js';
import { Detours } from '../connect/detours.js';
import { GroupCommit } from './group-commit.js';
import type { Needs } from './group-commit.js';
import { askWhetherCaughtUp, caughtUpKey } from './lineage.js';
import { openPrimary } from '../connect/primary.js';
import { ReplicationWatch } from './replication.js';
import type { Replication } from './replication.js';
import { watchCommands } from '../connect/watch-commands.js';

/**
 * Which nodes must have a write: the primary; a majority of the primary's nodes; every replica in sync, and at least a majority.
 */
export type Durability = 'primary' | 'quorum' | 'all';
type ReplicatedLevel = Exclude<Durability, 'primary'>;

export interface DurableOptions {
  url: string;
  access?: RedisAccess | undefined;
  scripts: Record<string, Script>;
  /** A write is answered within this time. */
  timeoutMs: number;
  /** How long a write that Redis has certainly not executed is retried, ms. */
  keepMs: number;
  nodes: number | undefined;
  maxLagMs: number;
  keyPrefix: string;
  log: Logger;
  observer?: Observer | undefined;
}

export class DurableWrites {
  readonly #replication: ReplicationWatch;
  /** By node and level, so that a batch at `quorum` does not wait for one at `all`. */
  readonly #writers = new Map<string, Map<ReplicatedLevel, GroupCommit>>();
  readonly #address;
  readonly #detours: Detours;

  /** @param redis the worker's connection, which knows the primaries */
  constructor(
    private readonly redis: RedisClient,
    private readonly options: DurableOptions,
  ) {
    this.#address = parseRedisAddress(options.url, options.access);
    this.#detours = new Detours((slot, node) => followMove(redis, slot, node), options.keepMs);
    this.#replication = new ReplicationWatch(redis, {
      ...options,
      address: this.#address,
      onNewLineage: (node) => this.#writersOf(node).forEach((writer) => writer.doubtLineage()),
    });
    redis.on('-node', (gone: Redis) => this.#close(nodeName(gone.options)));
  }

  /**
   * Carries out `write` and waits until as many replicas have it as `level` asks for.
   * @param key any key of the write, whose keys are all in one slot
   * @throws BrokerError not_durable, durability_unavailable, unavailable; or the error with which Redis refused the write
   */
  async commit<T>(key: string, level: Durability, write: (redis: RedisClient) => Promise<T>): Promise<T> {
    if (level === 'primary') return write(this.redis);
    const sinceMs = performance.now();
    return this.#detours.carryOut(key, (asked) => this.#commit(key, level, write, sinceMs, asked));
  }

  /** @param asked the node that ASK named, while the key's slot is being moved */
  async #commit<T>(
    key: string,
    level: ReplicatedLevel,
    write: (redis: RedisClient) => Promise<T>,
    sinceMs: number,
    asked?: string,
  ): Promise<T> {
    const node = asked ?? nodeOf(this.redis, key) ?? '?';
    if (this.#replication.of(node) === undefined) await this.#replication.poll();
    const replication = this.#replication.of(node);
    if (replication === undefined)
      throw new BrokerError(
        'unavailable',
        'it is not known yet how many replicas Redis has; nothing was done: try again',
        { outcome: 'not_done', retryAfterS: 1 },
      );
    const memoryOnly = this.#replication.withoutDisk(node);
    if (memoryOnly !== undefined) throw noDisk(memoryOnly);
    if (replication.nodes === 1) return write(this.redis);
    return this.#writer(node, level).commit(asked === undefined ? write : writeAsking(write), sinceMs);
  }

  /** The numbers of each primary, as far as they are known. @returns them by its name in a Cluster, '' elsewhere */
  replication(): Iterable<[primary: string, replication: Replication]> {
    return this.#replication.all();
  }

  close(): void {
    this.#replication.stop();
    for (const node of this.#writers.keys()) this.#writersOf(node).forEach(({ redis }) => redis.disconnect());
  }

  #writersOf(node: string): GroupCommit[] {
    return [...(this.#writers.get(node)?.values() ?? [])];
  }

  #writer(node: string, level: ReplicatedLevel): GroupCommit {
    const ofNode = this.#writers.get(node) ?? new Map<ReplicatedLevel, GroupCommit>();
    this.#writers.set(node, ofNode);
    const known = ofNode.get(level);
    if (known) return known;
    const redis = this.#open(node);
    const { keyPrefix, timeoutMs, observer } = this.options;
    const fence = {
      address: this.#address,
      redis: this.redis,
      node,
      hosts: () => this.#replication.hosts(node),
      nodes: () => this.#replication.mostNodes(node),
    };
    const writer = new GroupCommit(redis, {
      timeoutMs,
      observer,
      needs: () => this.#needs(node, level),
      isCaughtUp: () => askWhetherCaughtUp(redis, caughtUpKey(keyPrefix, this.redis, node)),
      checkFence: () => checkFence(redis, fence),
      downAfterMs: () => this.#replication.downAfterMs,
    });
    ofNode.set(level, writer);
    return writer;
  }

  #needs(node: string, level: ReplicatedLevel): Needs {
    const replication = this.#replication.of(node) as Replication; // known before the first write, and never forgotten
    return {
      enough: replicasFor(level, replication),
      every: Math.max(this.#replication.mostNodes(node) - 1, replication.inSync),
      allSyncedMs: this.#replication.allSyncedMs(node),
      awaitsMore: level === 'quorum',
    };
  }

  #open(node: string): Redis {
    const { scripts, timeoutMs } = this.options;
    // WAIT may keep the connection silent for all the time that it is given
    const options = { connectionName: 'aizumi-durable', socketTimeout: timeoutMs };
    const address = this.#address;
    const redis = address.shape === 'cluster' ? openNode(address, node, options) : openPrimary(address, options);
    // the worker's main connection leads to the same Redis and logs its loss and return
    redis.on('error', () => undefined);
    watchCommands(redis, this.options.observer?.connections.durable);
    return evaluatePlainly(redis, scripts);
  }

  #close(node: string): void {
    this.#writersOf(node).forEach(({ redis }) => redis.disconnect());
    this.#writers.delete(node);
  }
}

/**
 * Gives the client its scripts as plain EVAL. ioredis would send EVALSHA, and EVAL afterwards if the server has lost the script:
 * then the write would follow the WAIT of its batch, which confirms only what precedes it.
 */
function evaluatePlainly(redis: Redis, scripts: Record<string, Script>): Redis {
  const evaluated = Object.entries(scripts).map(([name, { lua, numberOfKeys }]) => [
    name,
    (...args: (string | number)[]) => redis.eval(lua, numberOfKeys, ...args),
  ]);
  return Object.assign(redis, Object.fromEntries(evaluated) as object);
}

const noDisk = (node: string): BrokerError =>
  new BrokerError(
    'durability_unavailable',
    `${node === '' ? 'the Redis primary' : `the Redis node ${node}`} keeps nothing on disk: set appendonly yes there, ` +
      'or send with "durability": "primary"; nothing was done',
    { outcome: 'not_done', retryAfterS: 60 },
  );

/** How many replicas must confirm, besides the primary: the rest of a majority, or all that are in sync if those are more. */
export function replicasFor(level: ReplicatedLevel, { nodes, inSync }: { nodes: number; inSync: number }): number {
  const restOfMajority = Math.floor(nodes / 2);
  return level === 'all' ? Math.max(inSync, restOfMajority) : restOfMajority;
}
