// HELO: makes a queue ahead of its first message, and gives it settings of its own.
import { redisFailure } from '../redis/failure.js';
import { queueKey, registryKey, settingsKey } from './keys.js';
import type { Queues } from './queues.js';

/** What a queue may have of its own; null: back to the broker's default. */
export interface OwnSettings {
  visibility_timeout_ms?: number | null;
  max_deliveries?: number | null;
  max_queue_length?: number | null;
  ttl_ms?: number | null;
}

/**
 * Makes the queue of `address` if need be, and changes those of its settings that are given.
 * @throws BrokerError unavailable
 */
export async function helo(
  { redis, settings, lengths, used }: Queues,
  address: number,
  changes: OwnSettings = {},
): Promise<void> {
  const { keyPrefix: prefix } = settings;
  used.note(address);
  try {
    await redis.aizumiHelo(queueKey(prefix, address), settingsKey(prefix, address), JSON.stringify(changes));
    lengths.forget(address); // its limit may be another now
    // after the queue: see register.ts
    await redis.zadd(registryKey(prefix), address, address);
  } catch (error) {
    throw redisFailure(error);
  }
}
