// STAT: counts what a queue and the broker hold.
import { redisFailure } from '../redis/failure.js';
import { readLiveStat } from './expire.js';
import { registryKey } from './keys.js';
import type { Queues } from './queues.js';
import type { QueueStat } from './stat.js';

/**
 * @returns `queue`: the queue of `address`, undefined where it has none; `queues`: how many the broker has.
 *   The cost does not depend on the number of queues and messages. Expired messages are deleted first, a bounded number.
 * @throws BrokerError unavailable
 */
export async function stat(queues: Queues, address: number): Promise<{ queue: QueueStat | undefined; queues: number }> {
  const { redis, settings } = queues;
  try {
    const [found, total] = await Promise.all([
      readLiveStat(queues, address),
      redis.zcard(registryKey(settings.keyPrefix)),
    ]);
    return { queue: found?.stat, queues: total };
  } catch (error) {
    throw redisFailure(error);
  }
}
