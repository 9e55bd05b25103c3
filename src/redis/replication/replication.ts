// How many nodes there are and which replicas keep up: what `quorum` and `all` mean at this moment.
import type { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';
import { nodeInWords } from '../../names/authority.js';
import type { Host, RedisAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import type { RedisClient } from '../connect/connect.js';
import { followedKey, lineageIn, noteCaughtUp } from './lineage.js';
import { Membership } from './membership.js';
import { askInfo, askNode, offsetIn, replicasOf, reportIn } from './node-report.js';

/** Of one primary. */
export interface Replication {
  /** The primary and its replicas, dead ones included. */
  nodes: number;
  /** Replicas that are connected and keep up. */
  inSync: number;
}

export interface ReplicationOptions {
  address: RedisAddress;
  /** Nodes per primary, if the operator has set it; otherwise it is found out. */
  nodes: number | undefined;
  /** A replica that last confirmed longer ago is not in sync. */
  maxLagMs: number;
  keyPrefix: string;
  /** Called when a primary has another replication lineage than at the last poll. */
  onNewLineage: (node: string) => void;
  log: Logger;
}

const POLL_MS = 500;
const COUNT_EVERY = 10;
/** Whether a node keeps messages on disk is asked again then: soon where it did not. */
const ASK_DISK_MS = 60_000;
const ASK_DISK_SOON_MS = 5_000;

interface Progress {
  inSync: number;
  lineageId: string;
  /** The primary's offset at the last poll, and when that was. */
  offset: number;
  polledMs: number;
  /** At that time every node had all that there was; performance.now(), ms. */
  wholeMs: number;
}

interface Disk {
  isOnDisk: boolean | undefined;
  askedMs: number;
}

/** Watches the replication of all primaries that `redis` leads to. */
export class ReplicationWatch {
  readonly #progress = new Map<string, Progress>();
  readonly #membership: Membership;
  /** By the name of a node; '' is the primary outside a Cluster. */
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

  /** @param node its name in a Cluster, '' elsewhere; undefined while it is not known yet */
  of(node: string): Replication | undefined {
    const inSync = this.#progress.get(node)?.inSync;
    const nodes = this.options.nodes ?? this.#membership.nodes(node);
    return inSync === undefined || nodes === undefined ? undefined : { nodes, inSync };
  }

  /** Of every primary that is known. */
  *all(): Iterable<[node: string, replication: Replication]> {
    for (const node of this.#progress.keys()) {
      const replication = this.of(node);
      if (replication !== undefined) yield [node, replication];
    }
  }

  /**
   * All nodes that may have been promoted: as many as are known, also where the operator says that there are fewer, and as many as
   * the operator says.
   */
  mostNodes(node: string): number {
    return Math.max(this.options.nodes ?? 1, this.#membership.nodes(node) ?? 1);
  }

  /** The latest time of which it is known that every node had all that there was; performance.now(), ms. */
  wholeMs(node: string): number {
    return this.#progress.get(node)?.wholeMs ?? -Infinity;
  }

  /** Nodes of the primary that are known by their address. */
  hosts(node: string): Host[] {
    return this.#membership.hosts(node);
  }

  /** The name of a node that keeps nothing on disk, '' for the primary; undefined: there is none, as far as is known. */
  withoutDisk(node: string): string | undefined {
    const names = [node, ...this.hosts(node).map(nodeName)];
    return names.find((name) => this.#disks.get(name)?.isOnDisk === false);
  }

  /** A primary that does not answer for longer may be replaced, ms. */
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
      // what was seen before stays in force: a quorum is never lowered by not knowing
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

  /** @param info INFO of the primary */
  async #learn(node: string, info: string): Promise<void> {
    const { keyPrefix, maxLagMs, onNewLineage } = this.options;
    await this.#askDisks(node, info);
    const before = this.#progress.get(node);
    const { id } = lineageIn(info);
    const { inSync, offsets } = replicasIn(info, maxLagMs);
    const nodes = this.options.nodes ?? this.#membership.nodes(node);
    const isWhole =
      before?.lineageId === id &&
      nodes !== undefined &&
      offsets.filter((at) => at >= before.offset).length >= this.mostNodes(node) - 1;
    this.#progress.set(node, {
      inSync,
      lineageId: id,
      offset: offsetIn(info),
      polledMs: performance.now(),
      wholeMs: isWhole ? before.polledMs : (before?.wholeMs ?? -Infinity),
    });
    this.#reportSync(node, inSync, before?.inSync);
    if (before?.lineageId !== id) onNewLineage(node);
    const key = followedKey(keyPrefix, this.redis, node);
    if (nodes !== undefined && nodes > 1 && key !== undefined) await noteCaughtUp(this.redis, key, info, nodes);
  }

  /** Asks the replicas whether they keep messages on disk. Resolves when those have been asked that never were before. */
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
        // one that is lost confirms nothing; what it was set to no longer matters
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
        name === '' ? {} : { node: nodeInWords(name) },
        'a Redis node keeps nothing on disk: SENDs at quorum and all are refused; set appendonly yes there',
      );
    this.#disks.set(name, disk);
  }

  #reportSync(node: string, inSync: number, before: number | undefined): void {
    if (before === undefined || before === inSync) return;
    const where = node === '' ? {} : { node: nodeInWords(node) };
    if (inSync < before) this.options.log.warn({ ...where, inSync, before }, 'a replica is no longer in sync');
    else this.options.log.info({ ...where, inSync, before }, 'a replica is in sync again');
  }
}

/** Of the replicas in INFO replication: how many keep up, and what those that are connected have confirmed. */
export function replicasIn(info: string, maxLagMs: number): { inSync: number; offsets: number[] } {
  const online = replicasOf(info).filter(({ state }) => state === 'online');
  return {
    inSync: online.filter(({ lagS }) => lagS * 1000 < maxLagMs).length,
    offsets: online.map(({ offset }) => offset),
  };
}
