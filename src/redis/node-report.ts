// What one Redis node says of itself: INFO replication and INFO persistence.
import { Redis } from 'ioredis';
import type { Host, RedisAddress } from '../redis-address.js';
import { ASK_MS, FAIL_FAST } from './connection-options.js';
import { historyIn } from './history.js';
import { nodeLogin } from './login.js';
import type { History } from './history.js';

export interface NodeReport {
  role: 'primary' | 'replica';
  history: History;
  /** Of a replica: it is connected to the primary that it follows. */
  isLinkUp: boolean;
  /** It keeps an append-only file; undefined where it does not say. */
  isOnDisk: boolean | undefined;
}

/** What {@link reportIn} reads. Several sections at once since Redis 7.0. */
export const REPORT_SECTIONS = ['replication', 'persistence'] as const;

/** @param info INFO, with {@link REPORT_SECTIONS} at least */
export function reportIn(info: string): NodeReport {
  const aof = /^aof_enabled:(\d)/m.exec(info)?.[1];
  return {
    role: /^role:master/m.test(info) ? 'primary' : 'replica',
    history: historyIn(info),
    isLinkUp: /^master_link_status:up/m.test(info),
    isOnDisk: aof === undefined ? undefined : aof === '1',
  };
}

/** Replicas that are connected to a primary, as it names them in INFO replication: `slave0:ip=…,port=…,state=…`. */
export const replicaHostsIn = (info: string): Host[] =>
  [...info.matchAll(/^slave\d+:ip=([^,]*),port=(\d+),/gm)].map(([, host = '', port]) => ({ host, port: Number(port) }));

/** lost: it does not answer within ASK_MS. unclear: it answers, but does not let us ask. */
export type Answer = NodeReport | 'lost' | 'unclear';

/** Asks one node, on a connection for this question alone. Never rejects. */
export async function askNode(host: Host, address: RedisAddress): Promise<Answer> {
  const redis = new Redis({
    ...(FAIL_FAST as typeof FAIL_FAST & { replyMapping: 'legacy' }),
    ...host,
    ...nodeLogin(address),
    connectionName: 'aizumi-check',
    enableOfflineQueue: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: ASK_MS,
    commandTimeout: ASK_MS,
  }).on('error', () => undefined);
  try {
    return reportIn(String(await redis.call('INFO', ...REPORT_SECTIONS)));
  } catch (error) {
    return error instanceof Error && error.name === 'ReplyError' ? 'unclear' : 'lost';
  } finally {
    redis.disconnect();
  }
}
