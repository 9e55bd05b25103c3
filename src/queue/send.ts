// SEND: adds a message to a receiver's queue.
import { CLIENT_CHECKED_AT_ONCE, CLIENT_MEASURED_AT_ONCE } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import type { RedisClient } from '../redis/connect/connect.js';
import type { Durability } from '../redis/replication/durable-writes.js';
import { redisFailure } from '../redis/failure.js';
import { sweep } from './expire.js';
import { countsKey, delayedKey, ended0Key, ended1Key, queueKey, seenKey, settingsKey } from './keys.js';
import { MESSAGE_BYTES, measure, measureAgain } from './measure.js';
import { noteSent } from './message-sizes.js';
import type { Message, QueueRedis, Queues } from './queues.js';
import { countMade, register, tooManyQueues } from './register.js';
import { noRoom } from './shares.js';
import { readStat } from './stat.js';

/** The message, as send.lua and send-once.lua take it. */
type SendMessage = [
  saddr: number,
  id: number,
  payload: string,
  delayMs: number,
  ttlMs: number | '',
  traceparent: string,
];

/** The last arguments of send.lua and send-once.lua. */
type SendLimits = [maxBytes: number, knownBytes: number | 'full' | 'share', moreBytes: number, mayMake: 0 | 1];

/** What send.lua and send-once.lua return. */
type Sent = [length: number, maxLength: number, isNew: 0 | 1, isAhead: -1 | 0 | 1, maxBytes: number];

declare module './queues.js' {
  interface QueueCommands {
    aizumiSend(
      ...args: [
        queue: string,
        delayed: string,
        settings: string,
        counts: string,
        maxLength: number,
        ...message: SendMessage,
        ...limits: SendLimits,
      ]
    ): Promise<Sent>;
    aizumiSendOnce(
      ...args: [
        queue: string,
        delayed: string,
        settings: string,
        seen: string,
        ended0: string,
        ended1: string,
        counts: string,
        maxLength: number,
        ...message: SendMessage,
        windowMs: number,
        ...limits: SendLimits,
      ]
    ): Promise<Sent>;
  }
}

export interface SendOptions {
  /** Which nodes must have the message before the SEND is answered. */
  durability: Durability;
  /** Only one message per saddr, address and id, while it lives and for the window after. */
  dedup: boolean;
  /** Until it can be received, ms. */
  delayMs?: number | undefined;
  /** From now until it is deleted, ms; the default is the queue's own setting. */
  ttlMs?: number | undefined;
}

const PLAIN: SendOptions = { durability: 'primary', dedup: false };

/**
 * Adds `message` to the queue of `address`, which is created if there is none.
 * @param client to which the message is charged; undefined: to nobody
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
  const nowMs = performance.now();
  const bytes = Buffer.byteLength(message.payload) + MESSAGE_BYTES;
  if (client !== undefined) measureQueuesOf(queues, client, nowMs);
  const isPlain = !options.dedup && !options.delayMs;
  if (isPlain && lengths.hasRoom(address, nowMs, bytes) && !lengths.isAhead(address)) {
    if (client !== undefined && !shares.store(client, address, bytes)) throw clientFull(queues);
    lengths.add(address, bytes);
    try {
      if (await add(queues, address, message, options)) return;
    } catch (error) {
      throw redisFailure(error);
    }
    // the queue no longer exists
    if (client !== undefined) shares.unstore(client, address, bytes);
    lengths.forget(address);
  }
  await sendWithCare(queues, address, message, { bytes, client }, options);
}

interface Cost {
  /** Bytes that the message will take. */
  bytes: number;
  client: string | undefined;
}

/** Adds the message by a script, where the plain XADD is not enough. */
async function sendWithCare(
  queues: Queues,
  address: number,
  message: Message,
  cost: Cost,
  options: SendOptions,
): Promise<void> {
  const { lengths, shares } = queues;
  const { bytes, client } = cost;
  if (client !== undefined && !options.dedup && !shares.mayStore(client, bytes)) throw clientFull(queues);
  const mustMeasure = lengths.mustMeasure(address, performance.now(), bytes);
  const isMeasured = mustMeasure && lengths.mustWait(address, bytes);
  // At the same time as the SEND, so that a RECV after it in a batch does not overtake it. If it fails, the next SEND repeats it.
  if (mustMeasure && !isMeasured) measure(queues, address).catch(() => undefined);
  const tryOnce = (): Promise<void> => attempt(queues, address, message, cost, options);
  try {
    if (isMeasured) {
      await measureFirst(queues, address);
      // expired messages must not take its room
      if (lengths.isFull(address, performance.now(), bytes)) await sweep(queues, address, client);
    }
    await tryOnce().catch(async (error: unknown) => {
      if (!(await findRoom(queues, address, cost, error, isMeasured))) throw error;
      return tryOnce();
    });
  } catch (error) {
    throw refusal(queues, error, address, client) ?? redisFailure(error);
  }
}

/** Measures the queue; messages that are sent to it meanwhile wait, too, so that all stay in order. */
function measureFirst(queues: Queues, address: number): Promise<void> {
  const measuring = measure(queues, address);
  queues.lengths.await(address);
  return measuring;
}

/** @throws BrokerError and errors of Redis and the scripts; a refused message is not charged */
async function attempt(
  queues: Queues,
  address: number,
  message: Message,
  { bytes, client }: Cost,
  options: SendOptions,
): Promise<void> {
  const { lengths, shares } = queues;
  const nowMs = performance.now();
  const dueMs = options.delayMs ? nowMs + options.delayMs : 0;
  const isFull = lengths.isFull(address, nowMs, bytes);
  // the repeat of an earlier SEND must succeed even if the queue is full, and only Redis knows whether this is one
  if (isFull && !options.dedup) throw bytesFull(queues, address);
  const mayStore = client === undefined || shares.store(client, address, bytes, dueMs, nowMs);
  if (!mayStore && !options.dedup) throw clientFull(queues);
  const known = !mayStore ? 'share' : isFull ? 'full' : lengths.bytesOf(address);
  lengths.add(address, bytes);
  const giveBack = (): void => {
    lengths.add(address, -bytes);
    if (client !== undefined && mayStore) shares.unstore(client, address, bytes, dueMs);
  };
  const isAdded = await addWithCare(queues, address, message, { bytes, known, client }, options).catch(
    (error: unknown) => {
      if (error instanceof Error && REFUSED.test(error.message)) giveBack();
      throw error;
    },
  );
  if (!isAdded) giveBack();
}

/** How the scripts refuse a message; all reasons but the last may have ended a moment later. */
const REFUSED = /^(QUEUE_FULL|QUEUE_BYTES|CLIENT_QUEUES|CLIENT_BYTES|ID_CONFLICT) /;

/** @returns whether a message that was refused is to be tried again */
async function findRoom(
  queues: Queues,
  address: number,
  { bytes, client }: Cost,
  error: unknown,
  isMeasured: boolean,
): Promise<boolean> {
  const { lengths, settings } = queues;
  const [, refusal] = REFUSED.exec((error as Error).message) ?? [];
  if (refusal === 'CLIENT_QUEUES') return client !== undefined && countMade(queues, client);
  if (refusal !== 'QUEUE_FULL' && refusal !== 'QUEUE_BYTES') return false;
  if (refusal === 'QUEUE_BYTES') {
    lengths.learnFull(address, Number(/ of (\d+)/.exec((error as Error).message)?.[1] ?? settings.maxQueueBytes));
    if (!isMeasured && !lengths.rests(address, performance.now())) {
      await measureFirst(queues, address);
      if (!lengths.isFull(address, performance.now(), bytes)) return true;
    }
  }
  return (await sweep(queues, address, client)) > 0;
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
  // NOMKSTREAM: a queue that GBYE removed must be created again with its group and its place in the register
  const write = (to: RedisClient): Promise<string | null> =>
    to.xadd(key, 'NOMKSTREAM', '*', 'saddr', saddr, 'id', id, 'payload', payload, ...options);
  const added = await (durability === 'primary' ? write(redis) : durable.commit(key, durability, write));
  return added !== null;
}

/** @returns false when it was a repeat, and nothing was added */
async function addWithCare(
  queues: Queues,
  address: number,
  message: Message,
  { bytes, known, client }: Cost & { known: number | 'full' | 'share' },
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
  const counts = countsKey(keyPrefix, address);
  const isKnown = lengths.knows(address);
  const limits = [maxQueueBytes, known, bytes, shares.making(client, address) ? 1 : 0] as const;
  try {
    const [length, limit, isNew, isAhead, bytesLimit] = await durable.commit(key, options.durability, (to) =>
      options.dedup
        ? (to as QueueRedis).aizumiSendOnce(...keys, ...remembered, counts, ...what, dedupWindowMs, ...limits)
        : (to as QueueRedis).aizumiSend(...keys, counts, ...what, ...limits),
    );
    if (length > 0) lengths.learn(address, length, performance.now(), limit, bytesLimit);
    if (isAhead >= 0) lengths.learnAhead(address, isAhead === 1);
    if (isNew === 1 || !isKnown)
      // The message is stored, which is what the sender asked for. An address that is not registered is, with its next message.
      await register(queues, address, isNew === 1 ? client : undefined).catch(() => lengths.doubt(address));
    return length > 0;
  } finally {
    shares.made(client, address);
  }
}

/**
 * Finds out, at the same time as the SENDs of a client that may be near its limit, how much of its bytes is still stored. Expired
 * messages are deleted.
 */
function measureQueuesOf(queues: Queues, client: string, nowMs: number): void {
  const { shares } = queues;
  const addresses = shares.toBeMeasured(client, nowMs, CLIENT_MEASURED_AT_ONCE) ?? [];
  const start = Math.floor(Math.random() * addresses.length);
  for (const [i, address] of addresses.entries()) {
    const isChecked = (i - start + addresses.length) % addresses.length < CLIENT_CHECKED_AT_ONCE;
    Promise.all([measureAgain(queues, address), isChecked ? readStat(queues, address) : undefined]).then(
      async ([, found]) => {
        // sweep() measures the queue again
        if (found?.hasExpired) await sweep(queues, address, client);
      },
      () => undefined, // one of the next SENDs repeats it
    );
  }
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

/** @returns the error for the client; undefined when neither a script nor this worker has refused the message */
function refusal(queues: Queues, error: unknown, address: number, client: string | undefined): BrokerError | undefined {
  if (error instanceof BrokerError) return error.reason === 'queue_full' ? error : undefined;
  const [, refused] = error instanceof Error ? (REFUSED.exec(error.message) ?? []) : [];
  switch (refused) {
    case 'QUEUE_FULL':
      queues.observer?.limited('queue_length', address);
      return noRoom('the receiver has too many messages waiting: try again when it has freed some');
    case 'QUEUE_BYTES':
      return bytesFull(queues, address);
    case 'CLIENT_BYTES':
      return clientFull(queues);
    case 'CLIENT_QUEUES':
      return client === undefined ? undefined : tooManyQueues(queues);
    case 'ID_CONFLICT':
      return new BrokerError(
        'id_conflict',
        'you sent this id to this receiver before, with another payload: take a new id',
      );
    default:
      return undefined;
  }
}
