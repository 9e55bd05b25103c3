// SEND: adds a message to a receiver's queue.
import { BrokerError } from '../errors.js';
import type { RedisClient } from '../redis/connect.js';
import type { Durability } from '../redis/durable-writes.js';
import { redisFailure } from '../redis/failure.js';
import { delayedKey, ended0Key, ended1Key, queueKey, seenKey, settingsKey } from './keys.js';
import { noteSent } from './message-sizes.js';
import type { Message, QueueRedis, Queues } from './queues.js';
import { register } from './register.js';

const RETRY_AFTER_S = 1;

export interface SendOptions {
  /** When the message counts as sent. */
  durability: Durability;
  /** One message per saddr, address and id: while it lives and for the window after. */
  dedup: boolean;
  /** Until it can be received, ms. */
  delayMs?: number | undefined;
  /** From now until it is thrown away, ms; without it as the queue's settings say. */
  ttlMs?: number | undefined;
}

const PLAIN: SendOptions = { durability: 'primary', dedup: false };

/**
 * Adds `message` to the queue of `address`, which comes into being if need be.
 * @throws BrokerError queue_full, id_conflict; unavailable, not_durable (outcome unknown: the message may have been added)
 */
export async function send(queues: Queues, address: number, message: Message, options = PLAIN): Promise<void> {
  queues.used.note(address);
  noteSent(queues.sizes, address, message.payload);
  const isPlain = !options.dedup && !options.delayMs;
  const { lengths } = queues;
  const hasRoom = isPlain && lengths.hasRoom(address, performance.now()) && !lengths.isAhead(address);
  try {
    if (hasRoom && (await add(queues, address, message, options))) return;
    await addWithCare(queues, address, message, options);
  } catch (error) {
    throw refusal(error) ?? redisFailure(error);
  }
}

/**
 * The hot path, one native XADD.
 * @returns false when there is no such queue, and nothing was added
 */
async function add(
  queues: Queues,
  address: number,
  message: Message,
  { durability, ttlMs }: SendOptions,
): Promise<boolean> {
  const { redis, durable, settings } = queues;
  const key = queueKey(settings.keyPrefix, address);
  const { saddr, id, payload, traceparent } = message;
  const options = ttlMs === undefined ? [] : ['ttl', ttlMs];
  if (traceparent !== undefined) options.push('trace', traceparent);
  // NOMKSTREAM: a queue that GBYE removed must be made anew with its group and its place in the register
  const write = (to: RedisClient): Promise<string | null> =>
    to.xadd(key, 'NOMKSTREAM', '*', 'saddr', saddr, 'id', id, 'payload', payload, ...options);
  const added = await (durability === 'primary' ? write(redis) : durable.commit(key, durability, write));
  return added !== null;
}

async function addWithCare(queues: Queues, address: number, message: Message, options: SendOptions): Promise<void> {
  const { durable, settings, lengths } = queues;
  const { keyPrefix, maxQueueLength, dedupWindowMs } = settings;
  const { saddr, id, payload, traceparent = '' } = message;
  const key = queueKey(keyPrefix, address);
  const keys = [key, delayedKey(keyPrefix, address), settingsKey(keyPrefix, address)] as const;
  const what = [maxQueueLength, saddr, id, payload, options.delayMs ?? 0, options.ttlMs ?? '', traceparent] as const;
  const remembered = [
    seenKey(keyPrefix, address),
    ended0Key(keyPrefix, address),
    ended1Key(keyPrefix, address),
  ] as const;
  const known = lengths.knows(address);
  const [length, limit, isNew, isAhead] = await durable.commit(key, options.durability, (to) =>
    options.dedup
      ? (to as QueueRedis).aizumiSendOnce(...keys, ...remembered, ...what, dedupWindowMs)
      : (to as QueueRedis).aizumiSend(...keys, ...what),
  );
  if (length > 0) lengths.learn(address, length, performance.now(), limit);
  if (isAhead >= 0) lengths.learnAhead(address, isAhead === 1);
  if (isNew === 1 || !known)
    // the message is in: that is what the sender is told. An address not known is registered with its next message.
    await register(queues, address).catch(() => lengths.forget(address));
}

function refusal(error: unknown): BrokerError | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.message.startsWith('QUEUE_FULL'))
    return new BrokerError(
      'queue_full',
      'the receiver has too many messages waiting: try again when it has freed some',
      {
        retryAfterS: RETRY_AFTER_S,
      },
    );
  if (error.message.startsWith('ID_CONFLICT'))
    return new BrokerError(
      'id_conflict',
      'you sent this id to this receiver before, with another payload: take a new id',
    );
  return undefined;
}
