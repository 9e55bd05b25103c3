// FREE: deletes one or several messages that their receiver has processed.
import { SLICE_MESSAGES } from '../config/limits.js';
import { attemptsKey, ended0Key, ended1Key, heldKey, leasesKey, queueKey, seenKey, settingsKey } from './keys.js';
import { leaseFailure } from './lease-failure.js';
import type { Queues } from './queues.js';
import { partlyDone } from './slices.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiFree(
      ...args: [
        queue: string,
        leases: string,
        held: string,
        seen: string,
        ended0: string,
        ended1: string,
        settings: string,
        attempts: string,
        ids: string,
        receipt: string,
        windowMs: number,
      ]
    ): Promise<string[]>;
  }
}

/**
 * Frees the message with this id that `address` holds; of several the one delivered first.
 * @param receipt frees only this delivery
 * @returns whether there was one
 * @throws BrokerError lease_lost (the receipt's delivery is over); unavailable (outcome unknown: the message may be freed)
 */
export async function free(queues: Queues, address: number, id: number, receipt?: string): Promise<boolean> {
  const missing = await freeEach(queues, address, String(id), receipt);
  return missing.length === 0;
}

/**
 * Frees, for each id, the message with this id that `address` holds; a slice at a time.
 * @returns the ids of which none was held
 * @throws BrokerError unavailable (outcome unknown: some or all may be freed), overloaded
 */
export async function freeMany(
  queues: Queues,
  address: number,
  ids: readonly number[],
  asker = NOBODY,
): Promise<number[]> {
  if (ids.length === 1) return (await freeEach(queues, address, ids.join(' '))).map(Number);
  const key = queueKey(queues.settings.keyPrefix, address);
  const missing: number[] = [];
  for (let i = 0; i < ids.length; i += SLICE_MESSAGES) {
    const some = ids.slice(i, i + SLICE_MESSAGES);
    try {
      const notHeld = await queues.turns.take({ key, size: some.length, asker, isBegun: i > 0 }, () =>
        freeEach(queues, address, some.join(' ')),
      );
      for (const id of notHeld) missing.push(Number(id));
    } catch (error) {
      throw i === 0 ? error : partlyDone(error);
    }
  }
  return missing;
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
