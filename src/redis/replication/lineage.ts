// Tracks whether every replica has caught up on the replication lineage of its primary: one that has not may win an election
// against the majority.
import type { Redis } from 'ioredis';
import { nodeOf } from '../connect/cluster.js';
import type { RedisClient } from '../connect/connect.js';

/**
 * A primary that restarts with its append-only file begins a new lineage: another replication id, and an offset near 0. A
 * replica that has not caught up on it yet keeps its offset in the old one, and elections compare offsets alone
 * (docs/durability.md). So a key in Redis names the lineage on which all replicas are known to have caught up. It is replicated
 * with the data.
 */
export interface Lineage {
  id: string;
  /** The id of the primary before: this one was promoted from its replica and continued its offsets. */
  before: string;
}

/** Reads INFO replication. */
export function lineageIn(info: string): Lineage {
  const field = (name: string): string => new RegExp(`^${name}:(\\w+)`, 'm').exec(info)?.[1] ?? '';
  return { id: field('master_replid'), before: field('master_replid2') };
}

/** How many replicas have confirmed an offset of this lineage, from INFO replication: their copy is complete. */
export const caughtUpReplicasIn = (info: string): number =>
  [...info.matchAll(/^slave\d+:.*?state=online,offset=[1-9]/gm)].length;

/** Whether `caughtUpId`, the value of the key, names this lineage or the one that it continues. */
export const isCaughtUp = (caughtUpId: string | null, { id, before }: Lineage): boolean =>
  caughtUpId !== null && (caughtUpId === id || caughtUpId === before);

/** Asks the server at the other end of this connection whether its replicas have caught up. */
export async function askWhetherCaughtUp(redis: Redis, key: string | undefined): Promise<boolean> {
  if (key === undefined) return false;
  const [info, caughtUpId] = await Promise.all([redis.info('replication'), redis.get(key)]);
  return isCaughtUp(caughtUpId, lineageIn(info));
}

/**
 * Writes the lineage into the key once all replicas have caught up on it.
 * @param redis leads to the primary whose INFO replication is `info`. After a fail-over in between, this writes the key at the new
 *   primary, of which it then names no lineage
 * @param nodes the primary and its replicas, dead ones included
 */
export async function noteCaughtUp(redis: RedisClient, key: string, info: string, nodes: number): Promise<void> {
  const lineage = lineageIn(info);
  const caughtUpId = await redis.get(key);
  if (caughtUpId === lineage.id) return;
  if (caughtUpReplicasIn(info) >= nodes - 1 || isCaughtUp(caughtUpId, lineage)) await redis.set(key, lineage.id);
}

/**
 * The key's name. In a Cluster each primary has a key, whose hash tag is the smallest number with a slot of that primary.
 * @returns undefined if no number below MOST_TAGS has one: the primary has hardly any slots, or none
 */
export function caughtUpKey(prefix: string, redis: RedisClient, node: string): string | undefined {
  if (!redis.isCluster) return `${prefix}:followed`;
  for (let tag = 0; tag < MOST_TAGS; tag++) {
    const key = `${prefix}:{${tag}}:followed`;
    if (nodeOf(redis, key) === node) return key;
  }
  return undefined;
}

/** With so many tags a primary that has a hundredth of the slots has a key with a probability of 99.995 %. */
const MOST_TAGS = 1_000;
