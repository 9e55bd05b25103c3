// Which nodes a primary has, including itself and dead ones: the set of which a quorum is the majority.
import type { Cluster } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import { replicasOf } from './node-report.js';
import { sentinelViews } from './sentinel.js';
import type { SentinelView } from './sentinel.js';
import { ShardMemory } from './shards.js';

/** For this long, its INFO period, a Sentinel that was reset or has just found the primary may not know the replicas. */
const FRESH_SENTINEL_MS = 15_000;
/**
 * A replica that neither the primary nor any Sentinel has named for this long is gone: it has another address now, or an operator
 * has made the Sentinels forget it (SENTINEL RESET). This is longer than a reset Sentinel needs to find all replicas, and longer
 * than a dead replica stays listed.
 */
const GONE_MS = 120_000;
/** A node that neither the primary nor any Sentinel has named for this long is forgotten. */
const FORGET_MS = 600_000;
/** Down-after where no Sentinel reports it, ms: a fail-over takes at least half of this after the primary falls silent. */
const SHORTEST_DOWN_AFTER_MS = 1_000;

interface Known {
  /** The largest number that was ever named at once; it falls only when all sources agree for long enough that some are gone. */
  nodes: number;
  /** Node name → its address, and when it was last named. */
  hosts: Map<string, { host: Host; seenMs: number }>;
}

export class Membership {
  readonly #known = new Map<string, Known>();
  readonly #shards = new ShardMemory();
  /** Names of the replicas that the primary listed last. */
  #listed: readonly string[] = [];
  /** Since when all sources have named the same replicas, fewer than are counted; performance.now(), ms. */
  #agreed: { names: string; sinceMs: number } | undefined;
  /** After this time without an answer Sentinels or other nodes consider the primary down, ms. */
  downAfterMs = SHORTEST_DOWN_AFTER_MS;

  constructor(
    private readonly address: RedisAddress,
    private readonly goneMs = GONE_MS,
  ) {}

  /** @param primary its name in a Cluster, '' elsewhere. @returns undefined while it is not known */
  nodes(primary: string): number | undefined {
    return this.#known.get(primary)?.nodes;
  }

  /** All nodes that were named lately, among them the primary if it was once a replica. */
  hosts(primary: string): Host[] {
    return [...(this.#known.get(primary)?.hosts.values() ?? [])].map(({ host }) => host);
  }

  /** Reads INFO replication of the only primary; outside a Cluster. */
  learnFromInfo(info: string): void {
    const replicas = replicasOf(info);
    this.#listed = replicas.map(nodeName);
    // a primary without replicas may have lost them: where there are Sentinels, only they can report that it has none
    if (replicas.length > 0 || this.address.shape === 'single') this.#add('', 1 + replicas.length, replicas);
  }

  /** Queries all Sentinels. */
  async learnFromSentinels(address: SentinelAddress): Promise<void> {
    const views = await sentinelViews(address);
    if (views.length === 0) throw new Error('no Sentinel answers');
    this.downAfterMs = Math.min(...views.map(({ downAfterMs }) => downAfterMs));
    const replicas = views.flatMap((view) => view.replicas);
    const most = Math.max(...views.map((view) => view.replicas.length));
    if (most > 0 || views.every(isSettled)) this.#add('', 1 + most, replicas);
    this.#forgetGone(address, views);
  }

  /**
   * Lowers the count once all Sentinels have named exactly the replicas that the primary lists, at least one, for long enough.
   */
  #forgetGone({ hosts }: SentinelAddress, views: readonly SentinelView[]): void {
    const known = this.#known.get('');
    const names = sorted(this.#listed);
    const isAgreed =
      views.length === hosts.length &&
      this.#listed.length > 0 &&
      views.every(({ replicas }) => sorted(replicas.map(nodeName)) === names);
    if (known === undefined || !isAgreed || 1 + this.#listed.length >= known.nodes) {
      this.#agreed = undefined;
      return;
    }
    const nowMs = performance.now();
    if (this.#agreed?.names !== names) this.#agreed = { names, sinceMs: nowMs };
    if (nowMs - this.#agreed.sinceMs < this.goneMs) return;
    known.nodes = 1 + this.#listed.length;
    const remaining = [...this.#listed, ...views.map(nodeName)];
    for (const name of known.hosts.keys()) if (!remaining.includes(name)) known.hosts.delete(name);
  }

  async learnFromCluster(cluster: Cluster): Promise<void> {
    for (const [name, { nodes, hosts }] of this.#shards.learn(String(await cluster.cluster('NODES')))) {
      this.#known.delete(name); // ShardMemory remembers how many nodes there are
      this.#add(name, nodes, hosts);
    }
  }

  #add(primary: string, nodes: number, hosts: Host[]): void {
    const known = this.#known.get(primary) ?? { nodes: 1, hosts: new Map() };
    const nowMs = performance.now();
    known.nodes = Math.max(known.nodes, nodes);
    for (const { host, port } of hosts)
      known.hosts.set(nodeName({ host, port }), { host: { host, port }, seenMs: nowMs });
    for (const [name, { seenMs }] of known.hosts) if (nowMs - seenMs > FORGET_MS) known.hosts.delete(name);
    this.#known.set(primary, known);
  }
}

const isSettled = ({ knownForMs }: SentinelView): boolean => knownForMs > FRESH_SENTINEL_MS;

const sorted = (names: readonly string[]): string => [...names].sort().join(' ');
