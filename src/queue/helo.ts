// HELO: makes a queue ahead of its first message.
import { redisFailure } from '../redis/failure.js';
import { queueKey, registryKey } from './keys.js';
import type { Queues } from './queues.js';

/**
 * Makes the queue of `address`; without effect if it is there.
 * @throws BrokerError unavailable
 */
export async function helo({ redis, settings }: Queues, address: number): Promise<void> {
  const { keyPrefix: prefix } = settings;
  try {
    await redis.xgroup('CREATE', queueKey(prefix, address), 'receivers', 0, 'MKSTREAM').catch((error: unknown) => {
      if (!alreadyThere(error)) throw error;
    });
    // after the queue: see register() in send.ts
    await redis.zadd(registryKey(prefix), address, address);
  } catch (error) {
    throw redisFailure(error);
  }
}

const alreadyThere = (error: unknown): boolean => error instanceof Error && error.message.startsWith('BUSYGROUP');
