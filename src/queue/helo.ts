// HELO: makes a queue ahead of its first message, and gives it settings of its own.
import { redisFailure } from '../redis/failure.js';
import { queueKey, settingsKey } from './keys.js';
import type { OwnSettings } from './own-settings.js';
import type { Queues } from './queues.js';
import { put, tooManyQueues } from './register.js';

/**
 * Makes the queue of `address` if need be, and changes those of its settings that are given.
 * @param client for whom a new queue counts; undefined: for nobody
 * @throws BrokerError queue_full, unavailable
 */
export async function helo(queues: Queues, address: number, changes: OwnSettings = {}, client?: string): Promise<void> {
  const { redis, settings, lengths, used, shares } = queues;
  const { keyPrefix: prefix } = settings;
  used.note(address);
  const mayMake = shares.making(client, address) ? 1 : 0;
  const keys = [queueKey(prefix, address), settingsKey(prefix, address)] as const;
  try {
    const isNew = await redis.aizumiHelo(...keys, JSON.stringify(changes), mayMake);
    lengths.forget(address); // its limit may be another now
    // after the queue: see register.ts
    await put(queues, address, isNew === 1 ? client : undefined);
  } catch (error) {
    if (client !== undefined && error instanceof Error && error.message.startsWith('CLIENT_QUEUES'))
      throw tooManyQueues(queues, client);
    throw redisFailure(error);
  } finally {
    shares.made(client, address);
  }
}
