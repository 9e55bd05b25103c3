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

async function addWithCare(queues: Queues, address: number, message: Message): Promise<void> {
  const { redis, settings, lengths } = queues;
  const { saddr, id, payload } = message;
  const known = lengths.knows(address);
  const key = queueKey(settings.keyPrefix, address);
  const length = await redis.aizumiSend(key, settings.maxQueueLength, saddr, id, payload);
  lengths.learn(address, length, performance.now());
  if (length === 1 || !known) await register(queues, address);
}

/**
 * Notes in the register that `address` has a queue; after the queue was made, never before it: a GBYE in between
 * takes it out and then looks whether the queue is back.
 */
async function register({ redis, settings, lengths }: Queues, address: number): Promise<void> {
  try {
    await redis.zadd(registryKey(settings.keyPrefix), address, address);
  } catch {
    // the message is in: that is what the sender is told. An address not known is registered with its next message.
    lengths.forget(address);
  }
}

function queueFull(error: unknown): BrokerError | undefined {
  if (!(error instanceof Error) || !error.message.startsWith('QUEUE_FULL')) return undefined;
  return new BrokerError('queue_full', 'the receiver has too many messages waiting: try again when it has freed some', {
    retryAfterS: RETRY_AFTER_S,
  });
}
