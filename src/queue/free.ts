// FREE: ends a message's life.
import { redisFailure } from '../redis/failure.js';
import { heldKey, leasesKey, queueKey } from './keys.js';
import type { Queues } from './queues.js';

/**
 * Frees the message with this id that `address` holds; of several the one delivered first.
 * @returns whether there was one
 * @throws BrokerError unavailable (outcome unknown: the message may be freed)
 */
export async function free({ redis, settings }: Queues, address: number, id: number): Promise<boolean> {
  const { keyPrefix: prefix } = settings;
  try {
    return (
      (await redis.aizumiFree(queueKey(prefix, address), leasesKey(prefix, address), heldKey(prefix, address), id)) ===
      1
    );
  } catch (error) {
    throw redisFailure(error);
  }
}
