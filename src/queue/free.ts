// FREE: ends a message's life.
import { redisFailure } from '../redis/failure.js';
import { heldKey, leasesKey, queueKey, seenKey } from './keys.js';
import type { Queues } from './queues.js';

/**
 * Frees the message with this id that `address` holds; of several the one delivered first.
 * @returns whether there was one
 * @throws BrokerError unavailable (outcome unknown: the message may be freed)
 */
export async function free({ redis, settings }: Queues, address: number, id: number): Promise<boolean> {
  const { keyPrefix: prefix, dedupWindowMs } = settings;
  try {
    const freed = await redis.aizumiFree(
      queueKey(prefix, address),
      leasesKey(prefix, address),
      heldKey(prefix, address),
      seenKey(prefix, address),
      id,
      dedupWindowMs,
    );
    return freed === 1;
  } catch (error) {
    throw redisFailure(error);
  }
}
