// HELO: creates a queue ahead of its first message, and gives it settings of its own.
import { redisFailure } from '../redis/failure.js';
import { queueKey, settingsKey } from './keys.js';
import type { OwnSettings } from './own-settings.js';
import type { Queues } from './queues.js';
import { countMade, put, tooManyQueues } from './register.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiHelo(...args: [queue: string, settings: string, changes: string, mayMake: 0 | 1]): Promise<0 | 1>;
  }
}

/**
 * Creates the queue of `address` if there is none, and changes those of its settings that are given.
 * @param client to which a new queue is charged; undefined: to nobody
 * @throws BrokerError queue_full, unavailable
 */
export async function helo(queues: Queues, address: number, changes: OwnSettings = {}, client?: string): Promise<void> {
  queues.used.note(address);
  const isTooMany = (error: unknown): boolean => error instanceof Error && error.message.startsWith('CLIENT_QUEUES');
  try {
    await make(queues, address, changes, client).catch(async (error: unknown) => {
      if (client === undefined || !isTooMany(error) || !(await countMade(queues, client))) throw error;
      return make(queues, address, changes, client);
    });
  } catch (error) {
    throw isTooMany(error) ? tooManyQueues(queues) : redisFailure(error);
  }
}

async function make(queues: Queues, address: number, changes: OwnSettings, client: string | undefined): Promise<void> {
  const { redis, settings, lengths, shares } = queues;
  const { keyPrefix: prefix } = settings;
  const keys = [queueKey(prefix, address), settingsKey(prefix, address)] as const;
  try {
    const mayMake = shares.making(client, address) ? 1 : 0;
    const isNew = await redis.aizumiHelo(...keys, JSON.stringify(changes), mayMake);
    lengths.doubt(address); // its limits may have changed
    // after the queue was created: see register.ts
    await put(queues, address, isNew === 1 ? client : undefined);
  } finally {
    shares.made(client, address);
  }
}
