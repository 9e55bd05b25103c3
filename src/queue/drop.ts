// DROP: deletes messages that nobody holds.
import { redisFailure } from '../redis/failure.js';
import {
  attemptsKey,
  backedKey,
  deadKey,
  delayedKey,
  ended0Key,
  ended1Key,
  heldKey,
  leasesKey,
  queueKey,
  seenKey,
  settingsKey,
} from './keys.js';
import { forEachPage } from './peek.js';
import type { State } from './peek.js';
import type { Queues } from './queues.js';

/**
 * @param ids only messages with one of these, of whatever sender; all if undefined
 * @returns how many were deleted, `most` at most
 * @throws BrokerError unavailable (some may have been deleted)
 */
export function drop(
  queues: Queues,
  address: number,
  state: Exclude<State, 'leased'>,
  ids: readonly number[] | undefined,
  most: number,
): Promise<number> {
  const { redis, settings } = queues;
  const { keyPrefix: prefix, dedupWindowMs } = settings;
  return forEachPage(queues, address, state, ids, most, async (messages) => {
    try {
      const done = await redis.aizumiDrop(
        queueKey(prefix, address),
        leasesKey(prefix, address),
        heldKey(prefix, address),
        delayedKey(prefix, address),
        backedKey(prefix, address),
        deadKey(prefix, address),
        seenKey(prefix, address),
        ended0Key(prefix, address),
        ended1Key(prefix, address),
        settingsKey(prefix, address),
        attemptsKey(prefix, address),
        JSON.stringify(messages.map(({ at }) => at)),
        dedupWindowMs,
      );
      return { done, goOn: true };
    } catch (error) {
      throw redisFailure(error);
    }
  });
}
