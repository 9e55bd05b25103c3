// Which nodes a primary has, itself and dead ones included: what a majority is a majority of.
import type { Cluster } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress } from '../redis-address.js';
import { nodeName } from './cluster.js';
import { replicasOf } from './node-report.js';
import { sentinelViews } from './sentinel.js';
import type { SentinelView } from './sentinel.js';
import { ShardMemory } from './shards.js';

/** A Sentinel that was reset, or has only just found the primary, may not know its replicas for that long: its INFO period. */
const FRESH_SENTINEL_MS = 15_000;
/** A node that nobody names is forgotten then. */
const FORGET_MS = 600_000;
/** Fail-overs take at least half of that after the primary falls silent, where no Sentinel says how long; ms. */
const SHORTEST_DOWN_AFTER_MS = 1_000;

interface Known {
  /** The most that were ever named at once; it falls in a Cluster only, when that is whole. */
  nodes: number;
  /** Node name → itself, and when it was last named. */
  hosts: Map<string, { host: Host; seenMs: number }>;
}

export class Membership {
  readonly #known = new Map<string, Known>();
  readonly #shards = new ShardMemory();
  /** After that time without an answer a primary is held for lost by those that watch over it, ms. */
  downAfterMs = SHORTEST_DOWN_AFTER_MS;

  constructor(private readonly address: RedisAddress) {}

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
