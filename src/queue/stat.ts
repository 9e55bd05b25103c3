// STAT: what a queue and the broker hold right now.
import { redisFailure } from '../redis/failure.js';
import { deadKey, delayedKey, leasesKey, queueKey, registryKey } from './keys.js';
import type { Queues } from './queues.js';

export interface QueueStat {
  waiting: number;
  leased: number;
  delayed: number;
  dead: number;
  /** Age of the oldest message that waits or is leased, ms; 0 when there is none. */
  oldestMs: number;
}

/**
 * @returns `queue`: the queue of `address`, undefined where it has none; `queues`: how many the broker has.
 *   Costs the same however many queues and messages there are.
 * @throws BrokerError unavailable
 */
export async function stat(
  { redis, settings }: Queues,
  address: number,
): Promise<{ queue: QueueStat | undefined; queues: number }> {
  const { keyPrefix: prefix } = settings;
  try {
    const [counts, queues] = await Promise.all([
      redis.aizumiStat(
        queueKey(prefix, address),
        leasesKey(prefix, address),
        delayedKey(prefix, address),
        deadKey(prefix, address),
      ),
      redis.zcard(registryKey(prefix)),
    ]);
    if (counts === null) return { queue: undefined, queues };
    const [waiting, leased, delayed, dead, oldestMs] = counts;
    return { queue: { waiting, leased, delayed, dead, oldestMs }, queues };
  } catch (error) {
    throw redisFailure(error);
  }
}
