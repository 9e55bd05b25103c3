// RECV: takes the next message of a queue under a lease.
import { redisFailure } from '../redis/failure.js';
import { deadKey, heldKey, leasesKey, queueKey, seenKey } from './keys.js';
import type { Message, Queues } from './queues.js';

/**
 * @returns the message, leased to the receiver for the visibility timeout; undefined when none waits
 * @throws BrokerError unavailable (outcome unknown: a message may have been leased; it comes back when the lease ends)
 */
export async function recv({ redis, settings }: Queues, address: number): Promise<Message | undefined> {
  const { keyPrefix: prefix, visibilityTimeoutMs, maxDeliveries, dedupWindowMs } = settings;
  try {
    const taken = await redis.aizumiRecv(
      queueKey(prefix, address),
      leasesKey(prefix, address),
      heldKey(prefix, address),
      deadKey(prefix, address),
      seenKey(prefix, address),
      visibilityTimeoutMs,
      maxDeliveries,
      dedupWindowMs,
    );
    if (taken === null) return undefined;
    const [saddr, id, payload] = taken;
    return { saddr: Number(saddr), id: Number(id), payload };
  } catch (error) {
    throw redisFailure(error);
  }
}
