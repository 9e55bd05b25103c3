// What one Redis node reports about itself: INFO replication and INFO persistence.
import type { Redis } from 'ioredis';
import type { Host, RedisAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import { ASK_MS } from '../connect/connection-options.js';
import { lineageIn } from './lineage.js';
import { IdleConnections, openToAsk } from '../connect/idle-connections.js';
import type { Lineage } from './lineage.js';

export interface NodeReport {
  role: 'primary' | 'replica';
  lineage: Lineage;
  /** Of a replica: whether it is connected to its primary. */
  isLinkUp: boolean;
  /**
   * Whether it keeps an append-only file. Undefined if it does not report that, and while it loads a full copy of its primary's
   * data: Redis turns the file off for that, and confirms nothing meanwhile.
   */
  isOnDisk: boolean | undefined;
}

/** Queries what {@link reportIn} reads. Redis accepts several sections at once since 7.0. */
export const askInfo = (redis: Redis): Promise<string> =>
  redis.call('INFO', 'replication', 'persistence') as Promise<string>;

/** @param info INFO replication and INFO persistence */
export function reportIn(info: string): NodeReport {
  const aof = /^aof_enabled:(\d)/m.exec(info)?.[1];
  const role = /^role:master/m.test(info) ? 'primary' : 'replica';
  const isLinkUp = /^master_link_status:up/m.test(info);
  const isLoading = /^loading:1/m.test(info) || (role === 'replica' && !isLinkUp);
  return {
    role,
    lineage: lineageIn(info),
    isLinkUp,
    isOnDisk: aof === undefined || (aof === '0' && isLoading) ? undefined : aof === '1',
  };
}

/** A replica, as its primary names it in INFO replication: `slave0:ip=…,port=…,state=online,offset=…,lag=1`. */
export interface ReplicaLine extends Host {
  state: string;
  /** The offset that it has confirmed. */
  offset: number;
  /** Seconds since it last confirmed; negative for up to a second after Redis's clock was set back. */
  lagS: number;
}

/** The replicas in INFO replication, each once. INFO also lists a running `redis-cli --rdb`, with port 0; it is left out. */
export function replicasOf(info: string): ReplicaLine[] {
  const lines = [...info.matchAll(/^slave\d+:ip=([^,]*),port=(\d+),state=(\w+),offset=(\d+),lag=(-?\d+)/gm)].map(
    ([, host = '', port, state = '', offset, lag]) => ({
      host,
      port: Number(port),
      state,
      offset: Number(offset),
      lagS: Number(lag),
    }),
  );
  const byName = new Map<string, ReplicaLine>();
  // if one replica has two connections, the later line counts
  for (const line of lines) if (line.port !== 0) byName.set(nodeName(line), line);
  return [...byName.values()];
}

/** The offset of the primary, from INFO replication. */
export const offsetIn = (info: string): number => Number(/^master_repl_offset:(\d+)/m.exec(info)?.[1] ?? 0);

/** lost: it does not answer within ASK_MS. unclear: it answers with an error, such as NOPERM. */
export type Answer = NodeReport | 'lost' | 'unclear';

const connections = new IdleConnections();

/** Queries one node, on a connection that is not shared meanwhile. Never rejects. */
export async function askNode(host: Host, address: RedisAddress): Promise<Answer> {
  const open = (): Redis => openToAsk(host, address, ASK_MS);
  try {
    return reportIn(await connections.ask(nodeName(host), open, askInfo));
  } catch (error) {
    return error instanceof Error && error.name === 'ReplyError' ? 'unclear' : 'lost';
  }
}
