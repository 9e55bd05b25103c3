// How many nodes there are and which replicas keep up: what `quorum` and `all` mean at this moment.
import type { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { RedisAddress } from '../redis-address.js';
import { nodeName } from './cluster.js';
import type { RedisClient } from './connect.js';
import { followedKey, historyIn, noteFollowers } from './history.js';
import { nodesBySentinel } from './sentinel.js';

/** Of one primary. */
export interface Replication {
  /** The primary and its replicas, dead ones included. */
  nodes: number;
  /** Replicas that are connected and keep up. */
  inSync: number;
}

export interface ReplicationOptions {
  address: RedisAddress;
  /** Nodes per primary, where the operator says; otherwise the most ever seen, never less again. */
  nodes: number | undefined;
  /** A replica that last confirmed longer ago is not in sync. */
  maxLagMs: number;
  keyPrefix: string;
  /** Called when a primary turns out to have another history than before. */
  onNewHistory: (node: string) => void;
  log: Logger;
}

const POLL_MS = 500;
const COUNT_EVERY = 10;

/** Watches the replication of all primaries that `redis` leads to. */
export class ReplicationWatch {
  readonly #inSync = new Map<string, number>();
  readonly #nodes = new Map<string, number>();
  readonly #histories = new Map<string, string>();
  #polls = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(
    private readonly redis: RedisClient,
    private readonly options: ReplicationOptions,
  ) {
    redis.on('ready', () => {
      this.#polls = 0;
      void this.look();
    });
  }

  /** @param node its name in a Cluster, '' elsewhere; undefined while it is not known yet */
  of(node: string): Replication | undefined {
    const inSync = this.#inSync.get(node);
    const nodes = this.options.nodes ?? this.#nodes.get(node);
    return inSync === undefined || nodes === undefined ? undefined : { nodes, inSync };
  }

  /** Of every primary that is known. */
  *all(): Iterable<[node: string, replication: Replication]> {
    for (const node of this.#inSync.keys()) {
      const replication = this.of(node);
      if (replication !== undefined) yield [node, replication];
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Looks now, and then regularly. */
  look(): Promise<void> {
    clearTimeout(this.#timer);
    return (this.#looking ??= this.#poll().finally(() => {
      this.#looking = undefined;
      if (!this.#stopped) this.#timer = setTimeout(() => void this.look(), POLL_MS).unref();
    }));
  }

  async #poll(): Promise<void> {
    const countNow = this.#polls++ % COUNT_EVERY === 0;
    try {
      if (this.redis.isCluster) await this.#pollCluster(this.redis as Cluster, countNow);
      else await this.#pollPrimary(this.redis as Redis, countNow);
    } catch (error) {
      // what was seen before stays in force: a quorum is never lowered by not knowing
      if (countNow) this.#polls = 0;
      this.options.log.debug({ error }, 'Redis could not be asked for its replicas');
    }
  }

  async #pollPrimary(redis: Redis, countNow: boolean): Promise<void> {
    const { address, maxLagMs } = this.options;
    const info = await redis.info('replication');
    // without a Sentinel the primary is the only one to ask, and it forgets replicas that are gone
    if (address.shape !== 'sentinel') this.#count('', replicasIn(info, maxLagMs).connected + 1);
    else if (countNow || !this.#nodes.has('')) this.#count('', await nodesBySentinel(address));
    await this.#learn('', info);
  }

  async #pollCluster(cluster: Cluster, countNow: boolean): Promise<void> {
    const primaries = cluster.nodes('master').map((redis) => ({ redis, node: nodeName(redis.options) }));
    if (countNow || primaries.some(({ node }) => !this.#nodes.has(node)))
      nodesByShard(String(await cluster.cluster('NODES'))).forEach((nodes, node) => this.#count(node, nodes));
    await Promise.all(primaries.map(async ({ redis, node }) => this.#learn(node, await redis.info('replication'))));
  }

  /** @param info INFO replication of the primary */
  async #learn(node: string, info: string): Promise<void> {
    const { keyPrefix, maxLagMs, onNewHistory } = this.options;
    this.#see(node, replicasIn(info, maxLagMs).inSync);
    const { id } = historyIn(info);
    if (this.#histories.get(node) !== id) onNewHistory(node);
    this.#histories.set(node, id);
    const [nodes, key] = [this.of(node)?.nodes, followedKey(keyPrefix, this.redis, node)];
    if (nodes !== undefined && nodes > 1 && key !== undefined) await noteFollowers(this.redis, key, info, nodes);
  }

  #count(node: string, nodes: number): void {
    this.#nodes.set(node, Math.max(nodes, this.#nodes.get(node) ?? 1));
  }

  #see(node: string, inSync: number): void {
    const before = this.#inSync.get(node);
    if (before !== undefined && before !== inSync) {
      const where = node === '' ? {} : { node };
      if (inSync < before) this.options.log.warn({ ...where, inSync, before }, 'a replica is no longer in sync');
      else this.options.log.info({ ...where, inSync, before }, 'a replica is in sync again');
    }
    this.#inSync.set(node, inSync);
  }
}

/**
 * Reads INFO replication: `slave0:ip=…,port=…,state=online,offset=…,lag=1`; lag in seconds since its last confirmation.
 * It is negative for up to a second after Redis's clock was set back: such a replica keeps up, by Redis's own count too.
 */
export function replicasIn(info: string, maxLagMs: number): { connected: number; inSync: number } {
  const replicas = [...info.matchAll(/^slave\d+:.*?state=(\w+).*?lag=(-?\d+)/gm)];
  const inSync = replicas.filter(([, state, lag]) => state === 'online' && Number(lag) * 1000 < maxLagMs);
  return { connected: replicas.length, inSync: inSync.length };
}

/**
 * Counts the nodes of each shard in CLUSTER NODES, under the names of all its nodes: a replica may be the primary next,
 * and the quorum is not less then. A failed primary without slots belonged to somebody, nobody can tell to whom:
 * it counts for all, so that a quorum is rather too large than too small.
 * https://redis.io/docs/latest/commands/cluster-nodes/
 */
export function nodesByShard(text: string): Map<string, number> {
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '));
  const isPrimary = (flags: string): boolean => flags.split(',').includes('master');
  const orphans = lines.filter(
    ([, , flags = '', , , , , , slots]) => isPrimary(flags) && flags.includes('fail') && !slots,
  );
  const counts = new Map<string, number>();
  for (const [id, address = '', flags = '', , , , , , slots] of lines) {
    if (!isPrimary(flags) || !slots) continue;
    const replicas = lines.filter(([, , , of]) => of === id).map(([, name = '']) => name);
    for (const name of [address, ...replicas].flatMap(namesOf)) counts.set(name, 1 + replicas.length + orphans.length);
  }
  return counts;
}

/** ip:port@busport[,hostname]: clients may know a node by either. */
function namesOf(address: string): string[] {
  const [, ip, port, hostname] = /^(.*):(\d+)@\d+(?:,([^,]*))?/.exec(address) ?? [];
  return [ip, hostname].filter(Boolean).map((host) => nodeName({ host, port }));
}
