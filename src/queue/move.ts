// MOVE: puts dead messages back into their queue.
import { redisFailure } from '../redis/failure.js';
import { deadKey, delayedKey, queueKey, settingsKey } from './keys.js';
import { forEachSlice } from './peek.js';
import type { Queues } from './queues.js';
import { NOBODY } from './turns.js';

/**
 * Puts them at the queue's end, the first that died first, until the queue is full.
 * @param ids only messages with one of these, of whatever sender; all if undefined
 * @returns how many were put back, `most` at most
 * @throws BrokerError unavailable, overloaded (some may have been put back, unless the outcome is not_done)
 */
export function move(
  queues: Queues,
  address: number,
  ids: readonly number[] | undefined,
  most: number,
  asker = NOBODY,
): Promise<number> {
  const { redis, settings } = queues;
  const { keyPrefix: prefix, maxQueueLength } = settings;
  return forEachSlice(queues, address, { state: 'dead', ids, most, asker }, async (messages) => {
    try {
      const [done, isFull] = await redis.aizumiMove(
        queueKey(prefix, address),
        delayedKey(prefix, address),
        deadKey(prefix, address),
        settingsKey(prefix, address),
        JSON.stringify(messages.map(({ at: [, streamId] }) => streamId)),
        maxQueueLength,
      );
      return { done, goOn: isFull === 0 };
    } catch (error) {
      throw redisFailure(error);
    }
  });
}
