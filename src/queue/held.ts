// How many messages a receiver holds.
import { redisFailure } from '../redis/failure.js';
import { heldKey } from './keys.js';
import type { Queues } from './queues.js';

/** Those count whose leases have ended, until somebody else gets them. @throws BrokerError unavailable */
export async function countHeld({ redis, settings }: Queues, address: number): Promise<number> {
  try {
    return await redis.zcard(heldKey(settings.keyPrefix, address));
  } catch (error) {
    throw redisFailure(error);
  }
}
