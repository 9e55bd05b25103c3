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
import type { Message, QueueRedis, QueueSettings, Queues } from './queues.js';
import { inRoom } from './room.js';
import type { Room } from './room.js';
import { MOST_BYTES, SLICE_BYTES, SLICE_MESSAGES } from './slices.js';
import { NOBODY } from './turns.js';
import type { Asker } from './turns.js';

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

/** How a RECV is carried out. */
export interface RecvManner {
  /** Who asks. */
  asker?: Asker;
  /** It goes on with what an earlier call has begun, and found nothing yet. */
  isBegun?: boolean;
  /** Carries out a slice, on a connection of its choice; without it that of most commands. */
  read?: ((slice: (redis: QueueRedis) => Promise<Reply>) => Promise<Reply>) | undefined;
}

/** After a slice that brought nothing, a RECV that has messages already goes on for this long. */
const PATIENCE_MS = 500;

/**
 * Takes messages from the queue of `address`, each leased to it: a slice at a time, until there are `max`, or no more.
 * @returns what the slices before brought, also when a later one fails
 * @throws BrokerError unavailable (outcome unknown: messages may have been leased; they come back when their leases end),
 *   overloaded (also when there is no room for them)
 */
export async function recv(
  queues: Queues,
  address: number,
  options: RecvOptions = {},
  manner: RecvManner = {},
): Promise<Received> {
  const { room, max = 1, attemptId } = options;
  if (room === undefined) return take(queues, address, options, manner);
  return inRoom(
    room,
    { count: max, sizes: queues.sizes, address },
    () => take(queues, address, options, manner),
    ({ messages }) => giveBack(queues, address, messages, attemptId, manner.asker?.who),
  );
}

async function take(
  queues: Queues,
  address: number,
  options: RecvOptions,
  { asker = NOBODY, isBegun = false, read }: RecvManner,
): Promise<Received> {
  const { settings, observer, turns, used } = queues;
  used.note(address);
  const { max = 1 } = options;
  const taken: Delivery[] = [];
  const attempt: Attempt = { id: options.attemptId ?? '', goesOn: '', isForgotten: false };
  let most = { messages: Math.min(max, SLICE_MESSAGES), bytes: SLICE_BYTES };
  let size = isBegun ? SLICE_MESSAGES : most.messages;
  let bytes = 0;
  let untilMs = Infinity;
  for (;;) {
    const slice = (redis: QueueRedis): Promise<Reply> => call(redis, settings, address, options, most, attempt);
    const carryOut = (): Promise<Reply> => (read ? read(slice) : slice(queues.redis));
    let reply: Reply;
    try {
      // a RECV of one waits for no turn
      reply = await (size === 1 && taken.length === 0
        ? carryOut()
        : turns.take(
            { key: queueKey(settings.keyPrefix, address), size, asker, isBegun: isBegun || taken.length > 0 },
            carryOut,
          ));
    } catch (error) {
      if (taken.length === 0) throw redisFailure(error);
      return { messages: taken, againMs: undefined };
    }
    const { messages, againMs, died } = partOf(reply, attempt);
    if (messages.length > 0 || died > 0) observer?.delivered(address, messages, died);
    const isTold = attempt.goesOn.includes(' ');
    if (max === 1 && !isTold) return { messages, againMs: messages.length > 0 ? undefined : againMs };
    for (const message of messages) {
      taken.push(message);
      bytes += message.payload.length;
    }
    if (taken.length === 0 && (againMs !== 0 || !isTold)) return { messages, againMs: isTold ? 0 : againMs };
    const nowMs = performance.now();
    if (messages.length > 0) untilMs = nowMs + PATIENCE_MS;
    const isDone = againMs !== 0 || bytes >= MOST_BYTES || (taken.length >= max && !isTold);
    if (isDone || nowMs > untilMs || asker.hasLeft) return { messages: taken, againMs: undefined };
    // one that ended before it had as many as it may take was as large as a slice may be
    const wasCutShort = messages.length < most.messages;
    most = {
      messages: isTold ? SLICE_MESSAGES : Math.min(max - taken.length, SLICE_MESSAGES),
      bytes: Math.min(SLICE_BYTES, MOST_BYTES - bytes),
    };
    size = wasCutShort || isTold ? SLICE_MESSAGES : most.messages;
  }
}

/** Of a RECV with an attempt_id. */
interface Attempt {
  /** Empty: none. */
  id: string;
  /** What recv.lua has returned for its next slice. */
  goesOn: string;
  /** Redis is short of memory: what it takes is not remembered. */
  isForgotten: boolean;
}

type Reply = Awaited<ReturnType<QueueRedis['aizumiRecv']>>;

/** Calls recv.lua once. */
function call(
  redis: QueueRedis,
  { keyPrefix: prefix, visibilityTimeoutMs, maxDeliveries, dedupWindowMs }: QueueSettings,
  address: number,
  options: RecvOptions,
  most: { messages: number; bytes: number },
  attempt: Attempt,
): Promise<Reply> {
  const carryOut = (name: 'aizumiRecv' | 'aizumiRecvRemembering', goesOn: string): Promise<Reply> =>
    redis[name](
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
      most.messages,
      options.visibilityTimeoutMs ?? '',
      attempt.id,
      most.bytes,
      SLICE_MESSAGES,
      goesOn,
    );
  if (attempt.id === '') return carryOut('aizumiRecv', '');
  const forgetful = (): Promise<Reply> => carryOut('aizumiRecv', `full ${attempt.goesOn}`);
  if (attempt.isForgotten) return forgetful();
  return carryOut('aizumiRecvRemembering', attempt.goesOn).catch((error: unknown) => {
    // refused as a whole: nothing was taken. What an attempt has taken before, and will not be remembered with this, ends it.
    const isOutOfMemory = error instanceof Error && error.message.startsWith('OOM');
    if (!isOutOfMemory || /^\d+$/.test(attempt.goesOn)) throw error;
    attempt.isForgotten = true;
    return forgetful();
  });
}

/** What a call has brought; notes in `attempt` how it goes on. */
function partOf(
  [again, ...rest]: Reply,
  attempt: Attempt,
): { messages: Delivery[]; againMs: number | undefined; died: number } {
  // behind the messages: with an attempt how it goes on, and if it has one or any did, how many others died
  const extra = rest.length % FIELDS;
  const died = extra > 0 ? Number(rest.pop()) : 0;
  if (extra > 1) attempt.goesOn = String(rest.pop());
  const messages = deliveriesOf(rest);
  // the slices that follow take more, and must not be told these
  if (extra < 2 && messages.length > 0) attempt.id = '';
  return { messages, againMs: again < 0 ? undefined : again, died };
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
