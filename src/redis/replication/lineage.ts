// Whether every replica has followed a primary since its history began: if not, one that has not may be elected over a majority.
import type { Redis } from 'ioredis';
import { nodeOf } from '../connect/cluster.js';
import type { RedisClient } from '../connect/connect.js';

/**
 * A primary that comes back with its file begins a new history: another replication id, and an offset near 0. A replica that
 * has not followed it yet keeps its offset of the old one, and elections go by offsets alone (docs/durability.md). So a key in
 * Redis names the history that all replicas are known to have followed; it is replicated, and survives what they survive.
 */
export interface History {
  id: string;
  /** Of the primary that this one was promoted from; it went on from there. */
  before: string;
}

/** Reads INFO replication. */
export function historyIn(info: string): History {
  const field = (name: string): string => new RegExp(`^${name}:(\\w+)`, 'm').exec(info)?.[1] ?? '';
  return { id: field('master_replid'), before: field('master_replid2') };
}

/** Replicas that have confirmed an offset of this history, in INFO replication. Their copy is complete, then. */
export const followersIn = (info: string): number =>
  [...info.matchAll(/^slave\d+:.*?state=online,offset=[1-9]/gm)].length;

/** Whether `followed`, the value of the key, says it of this history. */
export const isFollowed = (followed: string | null, { id, before }: History): boolean =>
  followed !== null && (followed === id || followed === before);

/** Asks the server at the other end of this one connection. */
export async function askWhetherFollowed(redis: Redis, key: string | undefined): Promise<boolean> {
  if (key === undefined) return false;
  const [info, followed] = await Promise.all([redis.info('replication'), redis.get(key)]);
  return isFollowed(followed, historyIn(info));
}

/**
 * Notes it where it is so.
 * @param redis leads to the primary that `info`, its INFO replication, is of; if not any more, the note is of no history there
 * @param nodes the primary and its replicas, dead ones included
 */
export async function noteFollowers(redis: RedisClient, key: string, info: string, nodes: number): Promise<void> {
  const history = historyIn(info);
  const followed = await redis.get(key);
  if (followed === history.id) return;
  if (followersIn(info) >= nodes - 1 || isFollowed(followed, history)) await redis.set(key, history.id);
}

/**
 * The key's name. In a Cluster each primary has one, in the slot of the smallest number that is a hash tag there.
 * @returns undefined where no small number is: a primary with hardly any slots, or none
 */
export function followedKey(prefix: string, redis: RedisClient, node: string): string | undefined {
  if (!redis.isCluster) return `${prefix}:followed`;
  for (let tag = 0; tag < MOST_TAGS; tag++) {
    const key = `${prefix}:{${tag}}:followed`;
    if (nodeOf(redis, key) === node) return key;
  }
  return undefined;
}

/** A primary with a hundredth of the slots is found with 99.995 % certainty. */
const MOST_TAGS = 1_000;
