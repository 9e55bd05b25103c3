// SEND: adds a message to a receiver's queue.
import { BrokerError } from '../errors.js';
import type { RedisClient } from '../redis/connect.js';
import type { Durability } from '../redis/durable-writes.js';
import { redisFailure } from '../redis/failure.js';
import { sweep } from './expire.js';
import { deadKey, delayedKey, ended0Key, ended1Key, queueKey, seenKey, settingsKey } from './keys.js';
import { noteSent } from './message-sizes.js';
import type { Message, QueueRedis, Queues } from './queues.js';
import { register, tooManyQueues } from './register.js';
import { noRoom } from './shares.js';
import { look } from './stat.js';

/** What an entry takes in Redis beside its payload, bytes. */
const ENTRY_BYTES = 130;
/** Queues of a client that are measured at a time. */
const MEASURED_AT_ONCE = 50;

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
 * @param client for whom it counts; undefined: for nobody
 * @throws BrokerError queue_full, id_conflict; unavailable, not_durable (outcome unknown: the message may have been added)
 */
export async function send(
  queues: Queues,
  address: number,
  message: Message,
  options = PLAIN,
  client?: string,
): Promise<void> {
  const { lengths, shares, used } = queues;
  used.note(address);
  noteSent(queues.sizes, address, message.payload);
  const isPlain = !options.dedup && !options.delayMs;
  const nowMs = performance.now();
  const bytes = Buffer.byteLength(message.payload) + ENTRY_BYTES;
  if (client !== undefined) measureQueuesOf(queues, client, nowMs);
  const mayStore = client === undefined || shares.store(client, address, bytes);
  const giveBack = (): void => {
    if (client !== undefined && mayStore) shares.unstore(client, address, bytes);
  };
  // of a message that was sent before a repeat is answered even so: only Redis knows
  if (!mayStore && !options.dedup) throw clientFull(queues);
  try {
    if (isPlain && lengths.hasRoom(address, nowMs, bytes) && !lengths.isAhead(address)) {
      lengths.add(address, bytes);
      if (await add(queues, address, message, options)) return;
    }
    const isFull = lengths.isFull(address, nowMs, bytes);
    if (isFull && !options.dedup) throw bytesFull(queues, address);
    const room = !mayStore ? 3 : isFull ? 2 : lengths.mustMeasure(address, bytes) ? 1 : 0;
    const isAdded = await addWithCare(queues, address, message, { bytes, room, client }, options).catch(
      async (error: unknown) => {
        // what has expired must not take its room
        if (!isOfFullQueue(error) || (await sweep(queues, address, client)) === 0) throw error;
        const share = { bytes, room: mayStore ? 1 : 3, client } as const;
        return addWithCare(queues, address, message, share, options);
      },
    );
    if (!isAdded) giveBack();
  } catch (error) {
    const refused = refusal(queues, error, address, client);
    if (refused) giveBack();
    throw refused ?? redisFailure(error);
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

interface Share {
  bytes: number;
  /** As send-once.lua has it. */
  room: 0 | 1 | 2 | 3;
  client: string | undefined;
}

/** @returns false when it was a repeat, and nothing was added */
async function addWithCare(
  queues: Queues,
  address: number,
  message: Message,
  { bytes, room, client }: Share,
  options: SendOptions,
): Promise<boolean> {
  const { durable, settings, lengths, shares } = queues;
  const { keyPrefix, maxQueueLength, maxQueueBytes, dedupWindowMs } = settings;
  const { saddr, id, payload, traceparent = '' } = message;
  const key = queueKey(keyPrefix, address);
  const keys = [key, delayedKey(keyPrefix, address), settingsKey(keyPrefix, address)] as const;
  const what = [maxQueueLength, saddr, id, payload, options.delayMs ?? 0, options.ttlMs ?? '', traceparent] as const;
  const remembered = [
    seenKey(keyPrefix, address),
    ended0Key(keyPrefix, address),
    ended1Key(keyPrefix, address),
  ] as const;
  const dead = deadKey(keyPrefix, address);
  const known = lengths.knows(address);
  const limits = [maxQueueBytes, room, shares.making(client, address) ? 1 : 0] as const;
  try {
    const [length, limit, isNew, isAhead, measured, bytesLimit] = await durable.commit(key, options.durability, (to) =>
      options.dedup
        ? (to as QueueRedis).aizumiSendOnce(...keys, ...remembered, dead, ...what, dedupWindowMs, ...limits)
        : (to as QueueRedis).aizumiSend(...keys, dead, ...what, ...limits),
    );
    if (length > 0) {
      lengths.learn(address, length, performance.now(), limit, measured < 0 ? undefined : measured, bytesLimit);
      lengths.add(address, bytes);
      if (measured >= 0) shares.learnBytes(address, measured + bytes);
    }
    if (isAhead >= 0) lengths.learnAhead(address, isAhead === 1);
    if (isNew === 1 || !known)
      // the message is in: that is what the sender is told. An address not known is registered with its next message.
      await register(queues, address, isNew === 1 ? client : undefined).catch(() => lengths.forget(address));
    return length > 0;
  } finally {
    shares.made(client, address);
  }
}

const isOfFullQueue = (error: unknown): boolean =>
  error instanceof Error && (error.message.startsWith('QUEUE_FULL') || error.message.startsWith('QUEUE_BYTES'));

/**
 * Finds out, beside the SENDs of a client that may be near its limit, what is left of what it has stored; what has expired is
 * thrown away.
 */
function measureQueuesOf(queues: Queues, client: string, nowMs: number): void {
  const { shares } = queues;
  const addresses = shares.toBeMeasured(client, nowMs, MEASURED_AT_ONCE);
  for (const address of addresses ?? [])
    look(queues, address).then(
      async (found) => {
        shares.learnBytes(address, found?.stat.bytes ?? 0);
        // learns what is left by itself
        if (found?.hasExpired) await sweep(queues, address, client);
      },
      () => undefined, // asked again with one of the next SENDs
    );
}

function clientFull({ observer, settings }: Queues): BrokerError {
  observer?.limited('client_bytes');
  return noRoom(
    `you have ${settings.maxClientBytes} bytes in queues, as many as a client may (AIZUMI_MAX_CLIENT_BYTES): try again when receivers have freed some`,
  );
}

function bytesFull({ observer }: Queues, address: number): BrokerError {
  observer?.limited('queue_bytes', address);
  return noRoom(
    'the messages of the receiver take as many bytes as they may (AIZUMI_MAX_QUEUE_BYTES or its own max_queue_bytes): try again when it has freed some',
  );
}

/** @returns undefined when it is not Redis's or the scripts' refusal of this message */
function refusal(queues: Queues, error: unknown, address: number, client: string | undefined): BrokerError | undefined {
  if (error instanceof BrokerError) return error.reason === 'queue_full' ? error : undefined;
  if (!(error instanceof Error)) return undefined;
  const { lengths, observer } = queues;
  if (error.message.startsWith('QUEUE_FULL')) {
    observer?.limited('queue_length', address);
    return noRoom('the receiver has too many messages waiting: try again when it has freed some');
  }
  if (error.message.startsWith('QUEUE_BYTES')) {
    const [, bytes, most] = /(\d+) of (\d+)/.exec(error.message) ?? [];
    if (bytes !== undefined) lengths.learnFull(address, performance.now(), Number(bytes), Number(most));
    return bytesFull(queues, address);
  }
  if (error.message.startsWith('CLIENT_BYTES')) return clientFull(queues);
  if (client !== undefined && error.message.startsWith('CLIENT_QUEUES')) return tooManyQueues(queues, client);
  if (error.message.startsWith('ID_CONFLICT'))
    return new BrokerError(
      'id_conflict',
      'you sent this id to this receiver before, with another payload: take a new id',
    );
  return undefined;
}
