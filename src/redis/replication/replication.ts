// Watches how many nodes each primary has and how many replicas are in sync: what `quorum` and `all` require at this moment.
import type { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';
import { formatNode } from '../../names/authority.js';
import type { Host, RedisAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import type { RedisClient } from '../connect/connect.js';
import { caughtUpKey, lineageIn, noteCaughtUp } from './lineage.js';
import { Membership } from './membership.js';
import { askInfo, askNode, offsetIn, replicasOf, reportIn } from './node-report.js';

/** The numbers of one primary. */
export interface Replication {
  /** The primary and its replicas, dead ones included. */
  nodes: number;
  /** Replicas that are connected and less than AIZUMI_REPLICA_MAX_LAG_MS behind. */
  inSync: number;
}

export interface ReplicationOptions {
  address: RedisAddress;
  /** Nodes per primary, if the operator has set it; otherwise the number is discovered. */
  nodes: number | undefined;
  /** A replica whose last confirmation is older is not in sync. */
  maxLagMs: number;
  keyPrefix: string;
  /** Called when a primary has another replication lineage than at the last poll. */
  onNewLineage: (node: string) => void;
  log: Logger;
}

const POLL_MS = 500;
const COUNT_EVERY = 10;
/** How often a node is queried whether it keeps messages on disk; SOON if it did not, or did not answer. */
const ASK_DISK_MS = 60_000;
const ASK_DISK_SOON_MS = 5_000;

interface Progress {
  inSync: number;
  lineageId: string;
  /** The primary's offset at the last poll, and when that was. */
  offset: number;
  polledMs: number;
  /** The latest time at which every node is known to have had all writes; performance.now(), ms. */
  allSyncedMs: number;
}

interface Disk {
  isOnDisk: boolean | undefined;
  askedMs: number;
}

/** Watches the replication of all primaries that `redis` leads to. */
export class ReplicationWatch {
  readonly #progress = new Map<string, Progress>();
  readonly #membership: Membership;
  /** By the node's name; '' for the primary outside a Cluster. */
  readonly #disks = new Map<string, Disk>();
  #polls = 0;
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #stopped = false;

  constructor(
    private readonly redis: RedisClient,
    private readonly options: ReplicationOptions,
  ) {
    this.#membership = new Membership(options.address);
    redis.on('ready', () => {
      this.#polls = 0;
      void this.poll();
    });
  }

  /** @param node the primary's name in a Cluster, '' elsewhere. @returns undefined while its numbers are not known yet */
  of(node: string): Replication | undefined {
    const inSync = this.#progress.get(node)?.inSync;
    const nodes = this.options.nodes ?? this.#membership.nodes(node);
    return inSync === undefined || nodes === undefined ? undefined : { nodes, inSync };
  }

  /** The numbers of every known primary. */
  *all(): Iterable<[node: string, replication: Replication]> {
    for (const node of this.#progress.keys()) {
      const replication = this.of(node);
      if (replication !== undefined) yield [node, replication];
    }
  }

  /**
   * How many nodes may have been promoted: the number that is known or the operator's setting, whichever is larger.
   */
  mostNodes(node: string): number {
    return Math.max(this.options.nodes ?? 1, this.#membership.nodes(node) ?? 1);
  }

  /** The latest time at which every node is known to have had all writes; performance.now(), ms. */
  allSyncedMs(node: string): number {
    return this.#progress.get(node)?.allSyncedMs ?? -Infinity;
  }

  /** The nodes of the primary whose address is known. */
  hosts(node: string): Host[] {
    return this.#membership.hosts(node);
  }

  /** The name of a node that keeps nothing on disk, '' for the primary; undefined if no such node is known. */
  withoutDisk(node: string): string | undefined {
    const names = [node, ...this.hosts(node).map(nodeName)];
    return names.find((name) => this.#disks.get(name)?.isOnDisk === false);
  }

  /** A primary that has not answered for this long may be replaced, ms. */
  get downAfterMs(): number {
    return this.#membership.downAfterMs;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Polls now, and regularly from then on. */
  poll(): Promise<void> {
    clearTimeout(this.#timer);
    return (this.#polling ??= this.#pollOnce().finally(() => {
      this.#polling = undefined;
      if (!this.#stopped) this.#timer = setTimeout(() => void this.poll(), POLL_MS).unref();
    }));
  }

  async #pollOnce(): Promise<void> {
    const countNow = this.#polls++ % COUNT_EVERY === 0;
    try {
      if (this.redis.isCluster) await this.#pollCluster(this.redis as Cluster, countNow);
      else await this.#pollPrimary(this.redis as Redis, countNow);
    } catch (error) {
      // the last known numbers stay in force, so that ignorance never lowers a quorum
      if (countNow) this.#polls = 0;
      this.options.log.debug({ error }, 'could not poll Redis for its replicas: the last known numbers stay in use');
    }
  }

  async #pollPrimary(redis: Redis, countNow: boolean): Promise<void> {
    const { address } = this.options;
    const info = await askInfo(redis);
    this.#membership.learnFromInfo(info);
    if (address.shape === 'sentinel' && (countNow || this.#membership.nodes('') === undefined))
      await this.#membership.learnFromSentinels(address);
    await this.#learn('', info);
  }

  async #pollCluster(cluster: Cluster, countNow: boolean): Promise<void> {
    const primaries = cluster.nodes('master').map((redis) => ({ redis, node: nodeName(redis.options) }));
    if (countNow || primaries.some(({ node }) => this.#membership.nodes(node) === undefined))
      await this.#membership.learnFromCluster(cluster);
    await Promise.all(primaries.map(async ({ redis, node }) => this.#learn(node, await askInfo(redis))));
  }

  /** Updates what is known of a primary. @param info its INFO */
  async #learn(node: string, info: string): Promise<void> {
    const { keyPrefix, maxLagMs, onNewLineage } = this.options;
    await this.#askDisks(node, info);
    const before = this.#progress.get(node);
    const { id } = lineageIn(info);
    const { inSync, offsets } = replicasIn(info, maxLagMs);
    const nodes = this.options.nodes ?? this.#membership.nodes(node);
    const areAllSynced =
      before?.lineageId === id &&
      nodes !== undefined &&
      offsets.filter((at) => at >= before.offset).length >= this.mostNodes(node) - 1;
    this.#progress.set(node, {
      inSync,
      lineageId: id,
      offset: offsetIn(info),
      polledMs: performance.now(),
      allSyncedMs: areAllSynced ? before.polledMs : (before?.allSyncedMs ?? -Infinity),
    });
    this.#reportSync(node, inSync, before?.inSync);
    if (before?.lineageId !== id) onNewLineage(node);
    const key = caughtUpKey(keyPrefix, this.redis, node);
    if (nodes !== undefined && nodes > 1 && key !== undefined) await noteCaughtUp(this.redis, key, info, nodes);
  }

  /** Queries whether the replicas keep messages on disk. Waits only for the answers of those that were never queried before. */
  async #askDisks(node: string, info: string): Promise<void> {
    const nowMs = performance.now();
    this.#noteDisk(node, { isOnDisk: reportIn(info).isOnDisk, askedMs: nowMs });
    const first: Promise<void>[] = [];
    for (const host of this.hosts(node)) {
      const name = nodeName(host);
      const known = this.#disks.get(name);
      const againMs = known?.isOnDisk === true ? ASK_DISK_MS : ASK_DISK_SOON_MS;
      if (known !== undefined && nowMs - known.askedMs < againMs) continue;
      this.#disks.set(name, { isOnDisk: known?.isOnDisk, askedMs: nowMs });
      const asked = askNode(host, this.options.address).then((answer) => {
        // a lost replica confirms nothing, so its setting no longer matters
        const isOnDisk = typeof answer === 'object' ? answer.isOnDisk : undefined;
        if (answer !== 'unclear') this.#noteDisk(name, { isOnDisk, askedMs: nowMs });
      });
      if (known === undefined) first.push(asked);
    }
    await Promise.all(first);
  }

  #noteDisk(name: string, disk: Disk): void {
    if (disk.isOnDisk === false && this.#disks.get(name)?.isOnDisk !== false)
      this.options.log.warn(
        name === '' ? {} : { node: formatNode(name) },
        'a Redis node keeps nothing on disk: SENDs at quorum and all are refused; set appendonly yes there',
      );
    this.#disks.set(name, disk);
  }

  #reportSync(node: string, inSync: number, before: number | undefined): void {
    if (before === undefined || before === inSync) return;
    const where = node === '' ? {} : { node: formatNode(node) };
    if (inSync < before) this.options.log.warn({ ...where, inSync, before }, 'a replica is no longer in sync');
    else this.options.log.info({ ...where, inSync, before }, 'a replica is in sync again');
  }
}

/** Reads INFO replication: how many replicas are in sync, and the offsets that the connected ones have confirmed. */
export function replicasIn(info: string, maxLagMs: number): { inSync: number; offsets: number[] } {
  const online = replicasOf(info).filter(({ state }) => state === 'online');
  return {
    inSync: online.filter(({ lagS }) => lagS * 1000 < maxLagMs).length,
    offsets: online.map(({ offset }) => offset),
  };
}
