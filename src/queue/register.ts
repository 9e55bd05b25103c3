// The register of all addresses that have a queue: how an address gets into it, out of it, and back when it was lost. The
// register and a queue are in different slots of a Redis Cluster, so no script can keep the two in step.
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BrokerError } from '../errors.js';
import { pollEvery } from '../timing/repeat.js';
import { madeKey, ownersKey, queueKey, registryKey } from './keys.js';
import type { Queues } from './queues.js';
import { noRoom } from './shares.js';

/**
 * Adds `address` if it has a queue; after the queue was made, never before it: a GBYE in between takes it out and then looks
 * whether the queue is back.
 */
export async function register(queues: Queues, address: number, maker?: string): Promise<void> {
  // the queue may be gone already: after a GBYE, or because this was a repeat of a message that was freed
  if ((await queues.redis.exists(queueKey(queues.settings.keyPrefix, address))) > 0) await put(queues, address, maker);
}

/** Adds `address`. @param maker the client that has made its queue; undefined: it was there before */
export async function put({ redis, settings, shares }: Queues, address: number, maker?: string): Promise<void> {
  const made = await redis.aizumiRegister(...keysOf(settings.keyPrefix), address, fieldOf(maker ?? ''));
  if (maker !== undefined) shares.learnMade(maker, made);
}

/** A token's subject may be long, and stands in Redis for each of its queues. */
const fieldOf = (client: string): string =>
  client.length <= 64 ? client : createHash('sha256').update(client).digest('hex');

const keysOf = (prefix: string): [string, string, string] => [registryKey(prefix), ownersKey(prefix), madeKey(prefix)];

/** Removes `address`, whose queue is gone; puts it back if a SEND has made the queue anew meanwhile. */
export async function unregister(queues: Queues, address: number): Promise<void> {
  const maker = await queues.redis.aizumiUnregister(...keysOf(queues.settings.keyPrefix), address);
  await register(queues, address, maker === '' ? undefined : maker);
}

/**
 * Asks Redis how many queues a client has made that was refused one: other workers may have removed some.
 * @returns whether it may make one more
 */
export async function countMade({ redis, settings, shares }: Queues, client: string): Promise<boolean> {
  const made = Number((await redis.hget(madeKey(settings.keyPrefix), fieldOf(client))) ?? 0);
  shares.learnMade(client, made);
  return made < settings.maxClientQueues;
}

/** What a client is told that has made as many queues as it may. */
export function tooManyQueues({ settings, observer }: Queues): BrokerError {
  observer?.limited('client_queues');
  return noRoom(
    `you have made ${settings.maxClientQueues} queues, as many as a client may (AIZUMI_MAX_CLIENT_QUEUES): GBYE removes one that is empty`,
  );
}

/** Addresses that are looked up in one command, and how long Redis is left alone after it, ms. */
const AT_ONCE = 200;
const PAUSE_MS = 20;

/**
 * Adds the addresses that were used lately and have a queue, but are missing: a fail-over has lost them, or a worker died
 * between making the queue and registering it.
 */
export async function repairRegister(queues: Queues): Promise<void> {
  const { redis, used, settings } = queues;
  const addresses = used.recent(performance.now());
  for (let i = 0; i < addresses.length; i += AT_ONCE) {
    if (i > 0) await pause(PAUSE_MS, undefined, { ref: false });
    const slice = addresses.slice(i, i + AT_ONCE);
    const scores = await redis.zmscore(registryKey(settings.keyPrefix), ...slice);
    const missing = slice.filter((_, nth) => scores[nth] === null);
    await Promise.all(missing.map((address) => addMissing(queues, address)));
  }
}

async function addMissing(queues: Queues, address: number): Promise<void> {
  const { redis, settings } = queues;
  const queue = queueKey(settings.keyPrefix, address);
  if ((await redis.exists(queue)) === 0) return;
  await redis.zadd(registryKey(settings.keyPrefix), address, address);
  // a GBYE may have removed the queue, and its address, before that was added
  if ((await redis.exists(queue)) === 0) await unregister(queues, address);
}

/** What was lost is back within a minute, with as many addresses as are remembered: a walk through all takes some 15 s. */
const ROUND_MS = 10_000;

/** Repairs the register again and again. @returns what stops it */
export function keepRegistered(queues: Queues, log: Logger): () => void {
  let refused = false;
  return pollEvery(ROUND_MS, async () => {
    try {
      await repairRegister(queues);
      refused = false;
    } catch (error) {
      // an outage is logged by the connection
      const isRefusal = error instanceof Error && error.name === 'ReplyError';
      if (isRefusal && !refused)
        log.warn({ reason: error.message }, 'could not check the register of queues: GET /queues may miss some');
      refused ||= isRefusal;
    }
  });
}
