// RECV: takes the next messages of a queue under a lease.
import { redisFailure } from '../redis/failure.js';
import { giveBack } from './give-back.js';
import {
  attemptsKey,
  backedKey,
  countsKey,
  deadKey,
  delayedKey,
  ended0Key,
  ended1Key,
  heldKey,
  leasesKey,
  queueKey,
  seenKey,
  settingsKey,
} from './keys.js';
import type { Message, Queues } from './queues.js';
import { settle } from './room.js';
import type { Room } from './room.js';

export interface RecvOptions {
  /** Most messages to take; 1 without it. Fewer come when fewer wait, or when they are long. */
  max?: number | undefined;
  /** How long they are leased, ms; without it as the queue's settings or the worker's say. */
  visibilityTimeoutMs?: number | undefined;
  /** Asked again while something of what this attempt took is leased, that is returned again, and no more taken. */
  attemptId?: string | undefined;
  /** Where the messages must fit; undefined: anywhere. */
  room?: Room | undefined;
}

/** A message together with its lease. */
export interface Delivery extends Message {
  /** Names this delivery, to free, keep or give back this one and no other. */
  receipt: string;
  /** Which delivery of the message this is, from 1. */
  attempt: number;
  /** ms since 1970, as all times by Redis's clock. */
  sentAtMs: number;
  leaseUntilMs: number;
}

export interface Received {
  messages: Delivery[];
  /**
   * Without messages: ms until one falls due by itself, because a lease or a delay ends. 0: look again at once, the queue was
   * changed although nothing was found. undefined: nothing will, or there are messages.
   */
  againMs: number | undefined;
}

/**
 * Takes messages from the queue of `address`, each leased to it.
 * @throws BrokerError unavailable (outcome unknown: messages may have been leased; they come back when their leases end);
 * overloaded, when there is no room for them
 */
export async function recv(queues: Queues, address: number, options: RecvOptions = {}): Promise<Received> {
  const { room, max = 1, attemptId } = options;
  if (room === undefined) return take(queues, address, options);
  const { sizes } = queues;
  const reserved = room.reserve(max, sizes, address);
  const reservation = reserved instanceof Promise ? await reserved : reserved;
  let received: Received;
  try {
    received = await take(queues, address, options);
  } catch (error) {
    room.settle(reservation, 0);
    throw error;
  }
  const { messages } = received;
  try {
    settle(room, reservation, sizes, address, messages);
  } catch (error) {
    await giveBack(queues, address, messages, attemptId);
    throw error;
  }
  return received;
}

async function take(
  { redis, settings, observer, used }: Queues,
  address: number,
  options: RecvOptions,
): Promise<Received> {
  used.note(address);
  const { keyPrefix: prefix, visibilityTimeoutMs, maxDeliveries, dedupWindowMs } = settings;
  try {
    const [againMs, ...taken] = await redis.aizumiRecv(
      queueKey(prefix, address),
      leasesKey(prefix, address),
      heldKey(prefix, address),
      delayedKey(prefix, address),
      backedKey(prefix, address),
      deadKey(prefix, address),
      seenKey(prefix, address),
      settingsKey(prefix, address),
      countsKey(prefix, address),
      attemptsKey(prefix, address),
      ended0Key(prefix, address),
      ended1Key(prefix, address),
      visibilityTimeoutMs,
      maxDeliveries,
      dedupWindowMs,
      options.max ?? 1,
      options.visibilityTimeoutMs ?? '',
      options.attemptId ?? '',
    );
    // one more than the messages' own: how many of the others died
    const died = taken.length % FIELDS === 1 ? Number(taken.pop()) : 0;
    const messages = deliveriesOf(taken);
    if (messages.length > 0 || died > 0) observer?.delivered(messages, died);
    return { messages, againMs: againMs < 0 ? undefined : againMs };
  } catch (error) {
    throw redisFailure(error);
  }
}

/** What the script tells of each message. */
const FIELDS = 8;

/** @param taken of each message saddr, id, payload, receipt, attempt, when it was sent, its lease's end, traceparent, in one list */
function deliveriesOf(taken: (string | number)[]): Delivery[] {
  const deliveries = [];
  for (let i = 0; i < taken.length; i += FIELDS)
    deliveries.push({
      saddr: Number(taken[i]),
      id: Number(taken[i + 1]),
      payload: taken[i + 2] as string,
      receipt: taken[i + 3] as string,
      attempt: Number(taken[i + 4]),
      sentAtMs: Number(taken[i + 5]),
      leaseUntilMs: Number(taken[i + 6]),
      traceparent: taken[i + 7] === '' ? undefined : (taken[i + 7] as string),
    });
  return deliveries;
}
