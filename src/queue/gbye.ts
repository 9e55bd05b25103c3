// GBYE: the receiver leaves. Messages that it holds return to the queue, and an empty queue is removed from Redis.
import { SLICE_MESSAGES } from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import {
  attemptsKey,
  countsKey,
  deadKey,
  delayedKey,
  heldKey,
  leasesKey,
  queueKey,
  sampleKey,
  seenKey,
  settingsKey,
} from './keys.js';
import type { Queues } from './queues.js';
import { unregister } from './register.js';
import { partlyDone } from './slices.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiGbye(
      ...args: [
        queue: string,
        leases: string,
        held: string,
        delayed: string,
        dead: string,
        settings: string,
        counts: string,
        sample: string,
        attempts: string,
        seen: string,
        atMost: number,
      ]
    ): Promise<[given: number, held: number]>;
  }
}

/**
 * Returns at once all messages that `address` holds; removes the queue's keys and its place in the register when nothing is left.
 * @returns how many messages were returned to the queue
 * @throws BrokerError unavailable, overloaded (some of the messages may have been returned: repeat it)
 */
export async function gbye(queues: Queues, address: number, asker = NOBODY): Promise<number> {
  const { redis, settings, lengths, turns, used } = queues;
  const { keyPrefix: prefix } = settings;
  const queue = queueKey(prefix, address);
  const keys = [
    queue,
    leasesKey(prefix, address),
    heldKey(prefix, address),
    delayedKey(prefix, address),
    deadKey(prefix, address),
    settingsKey(prefix, address),
    countsKey(prefix, address),
    sampleKey(prefix, address),
    attemptsKey(prefix, address),
    seenKey(prefix, address),
  ] as const;
  let isBegun = false;
  let given = 0;
  try {
    for (let held = Infinity; held > 0; isBegun = true) {
      const slice = { key: queue, size: SLICE_MESSAGES, asker, isBegun };
      const [some, left] = await turns.take(slice, () => redis.aizumiGbye(...keys, SLICE_MESSAGES));
      given += some;
      held = left;
    }
    lengths.doubt(address);
    if ((await redis.exists(queue, keys[4])) > 0) return given;
    lengths.forget(address);
    used.forget(address);
    await unregister(queues, address);
    return given;
  } catch (error) {
    throw isBegun ? partlyDone(redisFailure(error)) : redisFailure(error);
  }
}
