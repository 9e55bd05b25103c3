// Which nodes a primary has, itself and dead ones included: what a majority is a majority of.
import type { Cluster } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import { replicasOf } from './node-report.js';
import { sentinelViews } from './sentinel.js';
import type { SentinelView } from './sentinel.js';
import { ShardMemory } from './shards.js';

/** A Sentinel that was reset, or has only just found the primary, may not know its replicas for that long: its INFO period. */
const FRESH_SENTINEL_MS = 15_000;
/**
 * A replica that the primary and all Sentinels have not named for that long is gone: it has another address now, or an operator has made
 * the Sentinels forget it (SENTINEL RESET). Longer than a reset Sentinel needs to find all of them, and than a dead replica is listed.
 */
const GONE_MS = 120_000;
/** A node that nobody names is forgotten then. */
const FORGET_MS = 600_000;
/** Fail-overs take at least half of that after the primary falls silent, where no Sentinel says how long; ms. */
const SHORTEST_DOWN_AFTER_MS = 1_000;

interface Known {
  /** The most that were ever named at once; it falls when those that are named are all that there are. */
  nodes: number;
  /** Node name → itself, and when it was last named. */
  hosts: Map<string, { host: Host; seenMs: number }>;
}

export class Membership {
  readonly #known = new Map<string, Known>();
  readonly #shards = new ShardMemory();
  /** Names of the replicas that the primary lists, and has listed last. */
  #listed: readonly string[] = [];
  /** The same replicas, fewer than are counted, have been named by all since then; performance.now(), ms. */
  #agreed: { names: string; sinceMs: number } | undefined;
  /** After that time without an answer a primary is held for lost by those that watch over it, ms. */
  downAfterMs = SHORTEST_DOWN_AFTER_MS;

  constructor(
    private readonly address: RedisAddress,
    private readonly goneMs = GONE_MS,
  ) {}

  /** @param primary its name in a Cluster, '' elsewhere. @returns undefined while it is not known */
  nodes(primary: string): number | undefined {
    return this.#known.get(primary)?.nodes;
  }

  /** All nodes that have been named of late, the primary too where it has been a replica. */
  hosts(primary: string): Host[] {
    return [...(this.#known.get(primary)?.hosts.values() ?? [])].map(({ host }) => host);
  }

  /** Learns from INFO replication of the one primary; outside a Cluster. */
  learnFromInfo(info: string): void {
    const replicas = replicasOf(info);
    this.#listed = replicas.map(nodeName);
    // alone a primary may have lost its replicas: where Sentinels are, they must say that it has none
    if (replicas.length > 0 || this.address.shape === 'single') this.#add('', 1 + replicas.length, replicas);
  }

  /** Asks all Sentinels. */
  async learnFromSentinels(address: SentinelAddress): Promise<void> {
    const views = await sentinelViews(address);
    if (views.length === 0) throw new Error('no Sentinel answers');
    this.downAfterMs = Math.min(...views.map(({ downAfterMs }) => downAfterMs));
    const replicas = views.flatMap((view) => view.replicas);
    const most = Math.max(...views.map((view) => view.replicas.length));
    if (most > 0 || views.every(isSettled)) this.#add('', 1 + most, replicas);
    this.#forgetGone(address, views);
  }

  /** Counts fewer nodes where for long enough all Sentinels have named the very replicas that the primary lists, and it lists some. */
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
      this.#known.delete(name); // how many there are ShardMemory remembers
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
