// GBYE: the receiver leaves; what it holds goes back, and an empty queue leaves nothing behind.
import { redisFailure } from '../redis/failure.js';
import {
  attemptsKey,
  countsKey,
  deadKey,
  delayedKey,
  heldKey,
  leasesKey,
  queueKey,
  sampleKey,
  seenKey,
  settingsKey,
} from './keys.js';
import type { Queues } from './queues.js';
import { unregister } from './register.js';

/** Given back per script call, so that a receiver with very many leases does not stop Redis for everybody. */
const AT_ONCE = 1000;

/**
 * Gives back at once what `address` holds; removes the queue's keys and its place in the register when nothing is left.
 * @throws BrokerError unavailable (part of the messages may have been given back: repeat it)
 */
export async function gbye(queues: Queues, address: number): Promise<void> {
  const { redis, settings, lengths, used } = queues;
  const { keyPrefix: prefix } = settings;
  const queue = queueKey(prefix, address);
  const keys = [
    queue,
    leasesKey(prefix, address),
    heldKey(prefix, address),
    delayedKey(prefix, address),
    deadKey(prefix, address),
    settingsKey(prefix, address),
    countsKey(prefix, address),
    sampleKey(prefix, address),
    attemptsKey(prefix, address),
    seenKey(prefix, address),
  ] as const;
  try {
    let held: number;
    do held = await redis.aizumiGbye(...keys, AT_ONCE);
    while (held > 0);
    lengths.forget(address);
    if ((await redis.exists(queue, keys[4])) > 0) return;
    used.forget(address);
    await unregister(queues, address);
  } catch (error) {
    throw redisFailure(error);
  }
}
