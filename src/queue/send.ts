// SEND: adds a message to a receiver's queue.
import { BrokerError } from '../errors.js';
import { redisFailure } from '../redis/failure.js';
import { queueKey, registryKey } from './keys.js';
import type { Message, Queues } from './queues.js';

const RETRY_AFTER_S = 1;

/**
 * Adds `message` to the queue of `address`, which comes into being if need be.
 * @throws BrokerError queue_full; unavailable (outcome unknown: the message may have been added)
 */
export async function send(queues: Queues, address: number, message: Message): Promise<void> {
  const room = queues.lengths.hasRoom(address, performance.now());
  try {
    if (room !== 'unknown' && (await add(queues, address, message, room === 'yes, look'))) return;
    await addWithCare(queues, address, message);
  } catch (error) {
    throw queueFull(error) ?? redisFailure(error);
  }
}

/**
 * The hot path, one native XADD.
 * @returns false when there is no such queue, and nothing was added
 */
async function add(
  { redis, settings, lengths }: Queues,
  address: number,
  message: Message,
  look: boolean,
): Promise<boolean> {
  const key = queueKey(settings.keyPrefix, address);
  const { saddr, id, payload } = message;
  // NOMKSTREAM: a queue that GBYE removed must be made anew with its group and its place in the register
  const added = redis.xadd(key, 'NOMKSTREAM', '*', 'saddr', saddr, 'id', id, 'payload', payload);
  if (look) {
    const [entry, length] = await Promise.all([added, redis.xlen(key)]);
    lengths.learn(address, length, performance.now());
    return entry !== null;
  }
  return (await added) !== null;
}

async function addWithCare({ redis, settings, lengths }: Queues, address: number, message: Message): Promise<void> {
  const { saddr, id, payload } = message;
  const added = redis.aizumiSend(queueKey(settings.keyPrefix, address), settings.maxQueueLength, saddr, id, payload);
  // behind the script, never before it: a GBYE in between removes the entry and then looks whether the queue is back
  const [length] = await Promise.all([added, redis.zadd(registryKey(settings.keyPrefix), address, address)]);
  lengths.learn(address, length, performance.now());
}

function queueFull(error: unknown): BrokerError | undefined {
  if (!(error instanceof Error) || !error.message.startsWith('QUEUE_FULL')) return undefined;
  return new BrokerError('queue_full', 'the receiver has too many messages waiting: try again when it has freed some', {
    retryAfterS: RETRY_AFTER_S,
  });
}
