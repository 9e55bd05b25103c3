// FREE: ends a message's life, or several messages' lives.
import { attemptsKey, ended0Key, ended1Key, heldKey, leasesKey, queueKey, seenKey, settingsKey } from './keys.js';
import { leaseFailure } from './lease-failure.js';
import type { Queues } from './queues.js';

/**
 * Frees the message with this id that `address` holds; of several the one delivered first.
 * @param receipt only this delivery
 * @returns whether there was one
 * @throws BrokerError lease_lost (the receipt's delivery is over); unavailable (outcome unknown: the message may be freed)
 */
export async function free(queues: Queues, address: number, id: number, receipt?: string): Promise<boolean> {
  const missing = await freeEach(queues, address, String(id), receipt);
  return missing.length === 0;
}

/**
 * Frees, for each id, the message with this id that `address` holds.
 * @returns the ids of which none was held
 * @throws BrokerError unavailable (outcome unknown: some or all may be freed)
 */
export async function freeMany(queues: Queues, address: number, ids: readonly number[]): Promise<number[]> {
  return (await freeEach(queues, address, ids.join(' '))).map(Number);
}

async function freeEach({ redis, settings }: Queues, address: number, ids: string, receipt = ''): Promise<string[]> {
  const { keyPrefix: prefix, dedupWindowMs } = settings;
  try {
    return await redis.aizumiFree(
      queueKey(prefix, address),
      leasesKey(prefix, address),
      heldKey(prefix, address),
      seenKey(prefix, address),
      ended0Key(prefix, address),
      ended1Key(prefix, address),
      settingsKey(prefix, address),
      attemptsKey(prefix, address),
      ids,
      receipt,
      dedupWindowMs,
    );
  } catch (error) {
    throw leaseFailure(error);
  }
}
