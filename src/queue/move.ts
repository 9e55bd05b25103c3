// MOVE: moves dead messages back into their queue.
import { redisFailure } from '../redis/failure.js';
import { sweep } from './expire.js';
import { deadKey, delayedKey, queueKey, settingsKey } from './keys.js';
import { forEachSlice } from './peek.js';
import type { Queues } from './queues.js';
import { partlyDone } from './slices.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiMove(
      ...args: [queue: string, delayed: string, dead: string, settings: string, streamIds: string, maxLength: number]
    ): Promise<[count: number, isFull: 0 | 1]>;
  }
}

/**
 * Moves them to the queue's end in the order in which they died, until the queue is full.
 * @param ids only messages with one of these, from any sender; undefined: all
 * @returns how many were moved, at most `most`
 * @throws BrokerError unavailable, overloaded (some may have been moved, unless the outcome is not_done)
 */
export async function move(
  queues: Queues,
  address: number,
  ids: readonly number[] | undefined,
  most: number,
  asker = NOBODY,
): Promise<number> {
  const { redis, settings } = queues;
  const { keyPrefix: prefix, maxQueueLength } = settings;
  const queue = { isFull: false };
  const moveSome = async (some: number): Promise<number> => {
    const walk = { state: 'dead', which: 'all', ...(ids && { ids }), most: some, asker } as const;
    const { done } = await forEachSlice(queues, address, walk, async (messages) => {
      try {
        const [moved, full] = await redis.aizumiMove(
          queueKey(prefix, address),
          delayedKey(prefix, address),
          deadKey(prefix, address),
          settingsKey(prefix, address),
          JSON.stringify(messages.map(({ at: [, streamId] }) => streamId)),
          maxQueueLength,
        );
        queue.isFull = full === 1;
        return { done: moved, goOn: !queue.isFull };
      } catch (error) {
        throw redisFailure(error);
      }
    });
    return done;
  };
  const done = await moveSome(most);
  if (!queue.isFull || (await sweep(queues, address, asker.who)) === 0) return done;
  try {
    return done + (await moveSome(most - done));
  } catch (error) {
    throw done > 0 ? partlyDone(error) : error;
  }
}
