// The register of all addresses that have a queue: how an address gets into it, out of it, and back when it was lost. The
// register and a queue are in different slots of a Redis Cluster, so no script can keep the two in step.
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { lookEvery } from '../look-every.js';
import { queueKey, registryKey } from './keys.js';
import type { Queues } from './queues.js';

/**
 * Adds `address` if it has a queue; after the queue was made, never before it: a GBYE in between takes it out and then looks
 * whether the queue is back.
 */
export async function register({ redis, settings }: Queues, address: number): Promise<void> {
  const { keyPrefix } = settings;
  // the queue may be gone already: after a GBYE, or because this was a repeat of a message that was freed
  if ((await redis.exists(queueKey(keyPrefix, address))) > 0)
    await redis.zadd(registryKey(keyPrefix), address, address);
}

/** Removes `address`, whose queue is gone; puts it back if a SEND has made the queue anew meanwhile. */
export async function unregister(queues: Queues, address: number): Promise<void> {
  await queues.redis.zrem(registryKey(queues.settings.keyPrefix), address);
  await register(queues, address);
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
  return lookEvery(ROUND_MS, async () => {
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
