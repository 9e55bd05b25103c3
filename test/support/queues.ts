// A queue layer for one test: a connection, random key names, and a plain client to check the raw keys.
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { QUEUE_SCRIPTS, createQueues } from '../../src/queue/queues.js';
import type { Message, QueueSettings, Queues } from '../../src/queue/queues.js';
import { recv as receive } from '../../src/queue/recv.js';
import type { Delivery, RecvOptions } from '../../src/queue/recv.js';
import { connectRedis } from '../../src/redis/connect/connect.js';
import { DurableWrites } from '../../src/redis/replication/durable-writes.js';
import { patient } from '../../harness/patience.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

export interface TestQueues extends Queues {
  readonly prefix: string;
  /** To read and write raw keys. */
  readonly raw: Redis;
  /** Names of the keys that exist, without the prefix. */
  keys(): Promise<string[]>;
  close(): void;
}

const DEFAULTS = {
  visibilityTimeoutMs: 30_000,
  maxDeliveries: 20,
  maxQueueLength: 1_000_000,
  maxQueueBytes: 1_073_741_824,
  maxClientQueues: 20_000,
  maxClientBytes: 1_073_741_824,
  dedupWindowMs: 300_000,
};

const DURABLE = { timeoutMs: 1_000, keepMs: 850, nodes: undefined, maxLagMs: 3_000 };
const log = pino({ level: 'silent' });

/** @param server not the shared one: a test that sets its clock, or does what others would notice */
export async function openQueues(
  settings: Partial<QueueSettings> = {},
  server?: { readonly url: string },
): Promise<TestQueues> {
  const { url } = server ?? (await sharedRedis());
  const prefix = settings.keyPrefix ?? `t${randomBytes(6).toString('hex')}`;
  // a busy machine may keep Redis from answering for longer than a worker would wait
  const redis = connectRedis({ url, scripts: QUEUE_SCRIPTS, keepMs: patient(850), log });
  const durable = new DurableWrites(redis, { ...DURABLE, keyPrefix: prefix, url, scripts: QUEUE_SCRIPTS, log });
  const raw = new Redis(url);
  await until('connected', () => redis.status === 'ready');
  return {
    ...createQueues(redis, durable, { keyPrefix: prefix, ...DEFAULTS, ...settings }),
    prefix,
    raw,
    keys: async () => (await raw.keys(`${prefix}:*`)).map((key) => key.slice(prefix.length + 1)).sort(),
    close() {
      durable.close();
      redis.disconnect();
      raw.disconnect();
    },
  };
}

/** A plain RECV: only the message, or undefined if the queue is empty. */
export async function recv(queues: Queues, address: number): Promise<Message | undefined> {
  const [message] = await take(queues, address);
  return message && { saddr: message.saddr, id: message.id, payload: message.payload };
}

/** Like a RECV without wait_ms: repeats the call while there is cleaning up to do first. */
export async function take(queues: Queues, address: number, options: RecvOptions = {}): Promise<Delivery[]> {
  for (;;) {
    const { messages, againMs } = await receive(queues, address, options);
    if (messages.length > 0 || againMs !== 0) return messages;
  }
}

/** How many scripts Redis has run since CONFIG RESETSTAT. */
export async function scriptCalls({ raw }: TestQueues): Promise<number> {
  const stats = (await raw.info('commandstats')).matchAll(/cmdstat_eval\w*:calls=(\d+),.*failed_calls=(\d+)/g);
  return [...stats].reduce((sum, [, all, failed]) => sum + Number(all) - Number(failed), 0);
}

/** Redis's clock, ms since 1970. */
export async function redisMs({ raw }: TestQueues): Promise<number> {
  const [seconds, micros] = await raw.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** As if everything in this sorted set of times had been due long ago: leases, delayed or backed. */
export async function makeDue({ raw, prefix }: TestQueues, name: string, address = 100): Promise<void> {
  const key = `${prefix}:{${address}}:${name}`;
  for (const member of await raw.zrange(key, '0', '-1')) await raw.zadd(key, 'XX', 1, member);
}

/** The senders and ids, saddr:id, of the deduplicated messages that are remembered after their end. */
export async function endedFields({ raw, prefix }: TestQueues, address = 100): Promise<string[]> {
  const fields = [];
  for (const name of ['ended0', 'ended1']) {
    const key = `${prefix}:{${address}}:${name}`;
    const [until, ...others] = (await raw.hkeys(key)).sort().reverse();
    if (until === undefined) continue;
    expect(until, 'sorted behind digits').to.equal('until');
    expect(await raw.pexpiretime(key), 'it expires as a whole').to.equal(Number(await raw.hget(key, 'until')));
    fields.push(...others);
  }
  return fields;
}

/** Sets the server's clock; resolves when scripts see it: Valkey looks at its clock now and then only. */
export async function setClock(
  server: { setClock(aheadMs: number): void },
  { raw }: TestQueues,
  aheadMs: number,
): Promise<void> {
  server.setClock(aheadMs);
  await until('the clock is there', async () => {
    const [seconds] = (await raw.eval("return redis.call('TIME')", 0)) as [string];
    return Math.abs(Number(seconds) * 1_000 - Date.now() - aheadMs) < 10_000;
  });
}
