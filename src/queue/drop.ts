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
import { forEachSlice } from './peek.js';
import type { State } from './peek.js';
import type { Queues } from './queues.js';
import { NOBODY } from './turns.js';

/**
 * @param ids only messages with one of these, of whatever sender; all if undefined
 * @returns how many were deleted, `most` at most
 * @throws BrokerError unavailable, overloaded (some may have been deleted, unless the outcome is not_done)
 */
export function drop(
  queues: Queues,
  address: number,
  state: Exclude<State, 'leased'>,
  ids: readonly number[] | undefined,
  most: number,
  asker = NOBODY,
): Promise<number> {
  const { redis, settings } = queues;
  const { keyPrefix: prefix, dedupWindowMs } = settings;
  return forEachSlice(queues, address, { state, ids, most, asker }, async (messages) => {
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
