// STAT: what a queue and the broker hold right now.
import { redisFailure } from '../redis/failure.js';
import { lookAtLive } from './expire.js';
import { registryKey } from './keys.js';
import type { Queues } from './queues.js';
import type { QueueStat } from './stat.js';

/**
 * @returns `queue`: the queue of `address`, undefined where it has none; `queues`: how many the broker has.
 *   Costs the same however many queues and messages there are; what has expired is thrown away first,
 *   a bounded part of it.
 * @throws BrokerError unavailable
 */
export async function stat(queues: Queues, address: number): Promise<{ queue: QueueStat | undefined; queues: number }> {
  const { redis, settings } = queues;
  try {
    const [found, total] = await Promise.all([
      lookAtLive(queues, address),
      redis.zcard(registryKey(settings.keyPrefix)),
    ]);
    return { queue: found?.stat, queues: total };
  } catch (error) {
    throw redisFailure(error);
  }
}
