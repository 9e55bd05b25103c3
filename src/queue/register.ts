// The register of all addresses that have a queue: adds and removes addresses, and restores those that were lost. The register
// and a queue are in different slots of a Redis Cluster, so no script can keep them consistent.
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { REGISTER_PAUSE_MS, REGISTER_REPAIRED_AT_ONCE, REGISTER_ROUND_MS } from '../config/limits.js';
import type { BrokerError } from '../errors.js';
import { pollEvery } from '../timing/repeat.js';
import { madeKey, ownersKey, queueKey, registryKey } from './keys.js';
import type { Queues } from './queues.js';
import { noRoom } from './shares.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiRegister(
      ...args: [register: string, owners: string, made: string, address: number, client: string]
    ): Promise<number>;
    aizumiUnregister(...args: [register: string, owners: string, made: string, address: number]): Promise<string>;
  }
}

/**
 * Adds `address` if it has a queue. To be called after the queue was created, never before: a GBYE in between removes the address
 * and then checks whether the queue exists again.
 */
export async function register(queues: Queues, address: number, maker?: string): Promise<void> {
  // The queue may already be gone (GBYE, or a repeat of a freed message): register it only if it exists.
  if ((await queues.redis.exists(queueKey(queues.settings.keyPrefix, address))) > 0) await put(queues, address, maker);
}

/** Adds `address`. @param maker the client that has created its queue; undefined: the queue is not new */
export async function put({ redis, settings, shares }: Queues, address: number, maker?: string): Promise<void> {
  const made = await redis.aizumiRegister(...keysOf(settings.keyPrefix), address, fieldOf(maker ?? ''));
  if (maker !== undefined) shares.learnMade(maker, made);
}

/** A client's name in Redis: a token's subject may be long, and is stored for each of its queues. */
const fieldOf = (client: string): string =>
  client.length <= 64 ? client : createHash('sha256').update(client).digest('hex');

const keysOf = (prefix: string): [string, string, string] => [registryKey(prefix), ownersKey(prefix), madeKey(prefix)];

/** Removes `address`, whose queue is gone; adds it again if a SEND has created the queue again meanwhile. */
export async function unregister(queues: Queues, address: number): Promise<void> {
  const maker = await queues.redis.aizumiUnregister(...keysOf(queues.settings.keyPrefix), address);
  await register(queues, address, maker === '' ? undefined : maker);
}

/**
 * Asks Redis how many queues a refused client has created: other workers may have removed some.
 * @returns whether it may create one more
 */
export async function countMade({ redis, settings, shares }: Queues, client: string): Promise<boolean> {
  const made = Number((await redis.hget(madeKey(settings.keyPrefix), fieldOf(client))) ?? 0);
  shares.learnMade(client, made);
  return made < settings.maxClientQueues;
}

/** The error for a client that has created as many queues as it may. */
export function tooManyQueues({ settings, observer }: Queues): BrokerError {
  observer?.limited('client_queues');
  return noRoom(
    `you have made ${settings.maxClientQueues} queues, as many as a client may (AIZUMI_MAX_CLIENT_QUEUES): GBYE removes one that is empty`,
  );
}

/**
 * Adds addresses that were used lately and have a queue, but are missing: a fail-over has lost them, or a worker died after it
 * created the queue and before it registered it.
 */
export async function repairRegister(queues: Queues): Promise<void> {
  const { redis, used, settings } = queues;
  const addresses = used.recent(performance.now());
  for (let i = 0; i < addresses.length; i += REGISTER_REPAIRED_AT_ONCE) {
    if (i > 0) await pause(REGISTER_PAUSE_MS, undefined, { ref: false });
    const slice = addresses.slice(i, i + REGISTER_REPAIRED_AT_ONCE);
    const scores = await redis.zmscore(registryKey(settings.keyPrefix), ...slice);
    const missing = slice.filter((_, nth) => scores[nth] === null);
    await Promise.all(missing.map((address) => addMissing(queues, address)));
  }
}

async function addMissing(queues: Queues, address: number): Promise<void> {
  const { redis, settings, used } = queues;
  const queue = queueKey(settings.keyPrefix, address);
  if ((await redis.exists(queue)) === 0) {
    // not checked again until it is used again: receivers may wait at thousands of addresses without a queue
    used.forget(address);
    return;
  }
  await redis.zadd(registryKey(settings.keyPrefix), address, address);
  // a GBYE may have removed the queue and its address just before the address was added
  if ((await redis.exists(queue)) === 0) await unregister(queues, address);
}

/** Repairs the register in rounds. @returns a function that stops it */
export function keepRegistered(queues: Queues, log: Logger): () => void {
  let refused = false;
  return pollEvery(REGISTER_ROUND_MS, async () => {
    try {
      await repairRegister(queues);
      refused = false;
    } catch (error) {
      // the connection logs an outage
      const isRefusal = error instanceof Error && error.name === 'ReplyError';
      if (isRefusal && !refused)
        log.warn({ reason: error.message }, 'could not check the register of queues: GET /queues may miss some');
      refused ||= isRefusal;
    }
  });
}
