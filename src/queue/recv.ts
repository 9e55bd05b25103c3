// RECV: takes the next messages of a queue under a lease.
import {
  ENVELOPE_BYTES,
  LIGHT_BYTES,
  LIGHT_MESSAGES,
  MAX_ATTEMPT_MESSAGES,
  MAX_RECV_TRIES,
  MAX_REPLY_PAYLOAD_BYTES,
  RECV_PATIENCE_MS,
  SCRIPT_COST,
  SLICE_BYTES,
  SLICE_MESSAGES,
} from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import { giveBack } from './give-back.js';
import { queueKey } from './keys.js';
import { bytesOf } from './message-sizes.js';
import { messageKeys } from './message-keys.js';
import type { MessageKeys } from './message-keys.js';
import type { Message, QueueRedis, QueueSettings, Queues } from './queues.js';
import { inRoom, noRoomInReply, noteSizes } from './room.js';
import type { Room } from './room.js';
import { NOBODY, tooMuch } from './turns.js';
import type { Asker } from './turns.js';

/** What recv.lua takes and returns. */
type RecvArguments = [
  ...keys: MessageKeys,
  visibilityTimeoutMs: number,
  maxDeliveries: number,
  windowMs: number,
  max: number,
  requestedTimeoutMs: number | '',
  attemptId: string,
  mostText: number,
  slice: number,
  continuation: string,
  room: number,
  envelope: number,
  mostEarlier: number,
];
type Reply = [againMs: number, ...taken: (string | number)[]];

declare module './queues.js' {
  interface QueueCommands {
    aizumiRecv(...args: RecvArguments): Promise<Reply>;
    aizumiRecvRemembering(...args: RecvArguments): Promise<Reply>;
  }
}

export interface RecvOptions {
  /** Most messages to take; default 1. There are fewer when fewer wait, or when they are long. */
  max?: number | undefined;
  /** How long they are leased, ms; the default is the queue's own setting or else the worker's. */
  visibilityTimeoutMs?: number | undefined;
  /** While messages of this attempt are leased, a repeat returns these again and takes no more. */
  attemptId?: string | undefined;
  /** The room that the messages must fit into; undefined: there is no bound. */
  room?: Room | undefined;
}

/** A message together with its lease. */
export interface Delivery extends Message {
  /** Names this delivery, to free, keep or give back this one and no other. */
  receipt: string;
  /** Number of this delivery of the message, from 1. */
  attempt: number;
  /** ms since 1970, by Redis's clock, as all times. */
  sentAtMs: number;
  leaseUntilMs: number;
}

export interface Received {
  messages: Delivery[];
  /**
   * Without messages: ms until one falls due by itself, because a lease or a delay ends. 0: poll again at once, the queue was
   * changed although nothing was found. undefined: none will fall due, or there are messages.
   */
  againMs: number | undefined;
}

/** How a RECV is carried out. */
export interface RecvManner {
  asker?: Asker;
  /** It continues an earlier call that has found nothing yet. */
  isBegun?: boolean;
  /** Carries out a slice on a connection of its choice; the default is the worker's main connection. */
  read?: ((slice: (redis: QueueRedis) => Promise<Reply>) => Promise<Reply>) | undefined;
}

/** In place of the bytes for which there is no room: the attempt has more messages than the request asks for. */
const TOO_MANY_EARLIER = -1;

/**
 * Takes messages from the queue of `address`, each leased to it: a slice at a time, until there are `max`, or no more.
 * @returns the messages of the earlier slices, also when a later slice fails
 * @throws BrokerError unavailable (outcome unknown: messages may have been leased; they are redelivered when their leases end),
 *   overloaded (also when there is no room for them)
 */
export async function recv(
  queues: Queues,
  address: number,
  options: RecvOptions = {},
  manner: RecvManner = {},
): Promise<Received> {
  const { sizes, used } = queues;
  used.note(address);
  let needed = 0;
  if ((options.max ?? 1) === 1 && !manner.isBegun && !sizes.comesLarge(address)) {
    const received = await recvLight(queues, address, options, manner);
    if (typeof received !== 'number') return received;
    needed = received;
  }
  return recvHeavy(queues, address, options, manner, needed);
}

/** The combined result of one or more script calls. */
interface Found extends Received {
  /** The bytes of a message for which there is no room, before which the calls stopped; or {@link TOO_MANY_EARLIER}. */
  needed?: number | undefined;
}

/**
 * Takes one small message, without waiting for a slice's turn.
 * @returns a number as {@link Found} has it when there is no room: nothing was taken
 */
async function recvLight(
  queues: Queues,
  address: number,
  options: RecvOptions,
  { asker = NOBODY, read }: RecvManner,
): Promise<Received | number> {
  const { light, settings, sizes, observer } = queues;
  const { room } = options;
  const attempt: Attempt = { id: options.attemptId ?? '', continuation: '', isForgotten: false };
  const slice = (redis: QueueRedis): Promise<Reply> => call(redis, settings, address, options, LIGHT, attempt);
  const carryOut = (): Promise<Reply> => (read ? read(slice) : slice(queues.redis));
  const late = (): Promise<Reply> => (asker.hasLeft ? Promise.reject(tooMuch('your requests')) : carryOut());
  const reserved = room?.reserveLight();
  const reservation = reserved instanceof Promise ? await reserved : reserved;
  const lane = light.lane(address);
  let bytes = 0;
  try {
    const reply = await (lane.enters(asker.who, SCRIPT_COST) ? carryOut() : lane.wait(asker.who, SCRIPT_COST, late));
    const { messages, againMs, died, needed } = partOf(reply, attempt);
    if (messages.length > 0 || died > 0) observer?.delivered(address, messages, died);
    bytes = messages.length > 0 ? noteSizes(sizes, address, messages) : 0;
    return needed ?? { messages, againMs: messages.length > 0 ? undefined : againMs };
  } catch (error) {
    throw redisFailure(error);
  } finally {
    lane.leave(asker.who, SCRIPT_COST);
    if (reservation !== undefined) room?.settle(reservation, bytes);
  }
}

async function recvHeavy(
  queues: Queues,
  address: number,
  options: RecvOptions,
  manner: RecvManner,
  needed: number,
): Promise<Received> {
  const { sizes } = queues;
  const { room, max = 1, attemptId } = options;
  const attempt: Attempt = { id: attemptId ?? '', continuation: '', isForgotten: false };
  let mostEarlier = needed === TOO_MANY_EARLIER ? MAX_ATTEMPT_MESSAGES : max;
  noteNeeded(queues, address, needed);
  for (let tries = 0; tries < MAX_RECV_TRIES; tries++) {
    const bring = (bytes: number): Promise<Found> =>
      take(queues, address, options, manner, { bytes, earlier: mostEarlier }, attempt);
    const found = await (room === undefined
      ? bring(Infinity)
      : inRoom(room, { count: mostEarlier, sizes, address }, bring, ({ messages }) =>
          giveBack(queues, address, messages, attemptId, manner.asker?.who),
        ));
    if (found.needed === undefined) {
      const message = found.messages.at(-1);
      if (message !== undefined) sizes.noteLast(address, bytesOf(message.payload) > LIGHT_BYTES);
      return found;
    }
    noteNeeded(queues, address, found.needed);
    if (found.messages.length > 0) return { messages: found.messages, againMs: undefined };
    if (found.needed === TOO_MANY_EARLIER) mostEarlier = MAX_ATTEMPT_MESSAGES;
  }
  throw noRoomInReply();
}

function noteNeeded({ sizes }: Queues, address: number, needed: number): void {
  if (needed <= 0) return;
  sizes.note(address, needed);
  sizes.noteLast(address, needed > LIGHT_BYTES);
}

/** Bounds of a RECV: bytes of its messages together, and messages that its attempt may already have. */
interface Most {
  readonly bytes: number;
  readonly earlier: number;
}

async function take(
  queues: Queues,
  address: number,
  options: RecvOptions,
  { asker = NOBODY, isBegun = false, read }: RecvManner,
  room: Most,
  attempt: Attempt,
): Promise<Found> {
  const { settings, observer, turns } = queues;
  const key = queueKey(settings.keyPrefix, address);
  const { max = 1 } = options;
  const taken: Delivery[] = [];
  let bytes = 0;
  let used = 0;
  let messagesLeft = Math.min(max, SLICE_MESSAGES);
  let size = isBegun ? SLICE_MESSAGES : sizeOf(queues, address, messagesLeft);
  let untilMs = Infinity;
  for (;;) {
    const most = {
      messages: messagesLeft,
      bytes: Math.min(SLICE_BYTES, MAX_REPLY_PAYLOAD_BYTES - bytes),
      slice: SLICE_MESSAGES,
      room: room.bytes - used,
      earlier: room.earlier,
    };
    const slice = (redis: QueueRedis): Promise<Reply> => call(redis, settings, address, options, most, attempt);
    const carryOut = (): Promise<Reply> => (read ? read(slice) : slice(queues.redis));
    let reply: Reply;
    try {
      reply = await turns.take({ key, size, asker, isBegun: isBegun || taken.length > 0 }, carryOut);
    } catch (error) {
      if (taken.length === 0) throw redisFailure(error);
      return { messages: taken, againMs: undefined };
    }
    const { messages, againMs, died, needed } = partOf(reply, attempt);
    if (messages.length > 0 || died > 0) observer?.delivered(address, messages, died);
    const isRepeat = attempt.continuation.includes(' ');
    for (const message of messages) {
      taken.push(message);
      bytes += message.payload.length;
      used += bytesOf(message.payload);
    }
    if (needed !== undefined) {
      // messages that an attempt already has are returned completely: again from the first, with more room
      if (isRepeat) attempt.continuation = taken.length > 0 ? `${attempt.continuation.split(' ', 1).join('')} 1 0` : '';
      return { messages: isRepeat ? [] : taken, againMs: taken.length > 0 && !isRepeat ? undefined : 0, needed };
    }
    if (taken.length === 0 && (againMs !== 0 || !isRepeat)) return { messages, againMs: isRepeat ? 0 : againMs };
    const nowMs = performance.now();
    if (messages.length > 0) untilMs = nowMs + RECV_PATIENCE_MS;
    const isDone = againMs !== 0 || bytes >= MAX_REPLY_PAYLOAD_BYTES || (taken.length >= max && !isRepeat);
    if (isDone || nowMs > untilMs || asker.hasLeft) return { messages: taken, againMs: undefined };
    // a slice that ended before it had its most messages did as much work as a slice may do
    const wasCutShort = messages.length < most.messages;
    messagesLeft = isRepeat ? SLICE_MESSAGES : Math.min(max - taken.length, SLICE_MESSAGES);
    size = wasCutShort || isRepeat ? SLICE_MESSAGES : messagesLeft;
  }
}

/** As how many messages a first slice counts, estimated from their known length. */
function sizeOf({ sizes }: Queues, address: number, messages: number): number {
  const bytes = messages * (sizes.largest(address) ?? 0);
  return Math.min(SLICE_MESSAGES, Math.max(messages, Math.ceil((bytes * SLICE_MESSAGES) / SLICE_BYTES)));
}

/** A RECV's attempt. */
interface Attempt {
  /** The attempt_id; empty: none. */
  id: string;
  /** The continuation that recv.lua returned for the next slice. */
  continuation: string;
  /** Redis is short of memory: the attempt is not remembered. */
  isForgotten: boolean;
}

interface MostOfCall {
  readonly messages: number;
  readonly bytes: number;
  /** Messages that the call processes. */
  readonly slice: number;
  /** Bytes of the messages that it returns. */
  readonly room: number;
  /** Messages that the attempt may already have. */
  readonly earlier: number;
}

const LIGHT: MostOfCall = { messages: 1, bytes: LIGHT_BYTES, slice: LIGHT_MESSAGES, room: LIGHT_BYTES, earlier: 1 };

/** Calls recv.lua once. */
function call(
  redis: QueueRedis,
  settings: QueueSettings,
  address: number,
  options: RecvOptions,
  most: MostOfCall,
  attempt: Attempt,
): Promise<Reply> {
  if (attempt.id === '') return callAs('aizumiRecv', '', redis, settings, address, options, most, '');
  const forgetful = (): Promise<Reply> =>
    callAs('aizumiRecv', `full ${attempt.continuation}`, redis, settings, address, options, most, attempt.id);
  if (attempt.isForgotten) return forgetful();
  const name = 'aizumiRecvRemembering';
  return callAs(name, attempt.continuation, redis, settings, address, options, most, attempt.id).catch(
    (error: unknown) => {
      // Redis refused the whole script: nothing was taken. An attempt that has messages ends here, since it cannot be remembered
      // with these.
      const isOutOfMemory = error instanceof Error && error.message.startsWith('OOM');
      if (!isOutOfMemory || /^\d+$/.test(attempt.continuation)) throw error;
      attempt.isForgotten = true;
      return forgetful();
    },
  );
}

const callAs = (
  name: 'aizumiRecv' | 'aizumiRecvRemembering',
  continuation: string,
  redis: QueueRedis,
  { keyPrefix, visibilityTimeoutMs, maxDeliveries, dedupWindowMs }: QueueSettings,
  address: number,
  options: RecvOptions,
  most: MostOfCall,
  attemptId: string,
): Promise<Reply> =>
  redis[name](
    ...messageKeys(keyPrefix, address),
    visibilityTimeoutMs,
    maxDeliveries,
    dedupWindowMs,
    most.messages,
    options.visibilityTimeoutMs ?? '',
    attemptId,
    most.bytes,
    most.slice,
    continuation,
    Math.min(most.room, Number.MAX_SAFE_INTEGER),
    ENVELOPE_BYTES,
    most.earlier,
  );

/** Reads the reply of a call; stores its continuation in `attempt`. */
function partOf(
  [again, ...rest]: Reply,
  attempt: Attempt,
): { messages: Delivery[]; againMs: number | undefined; died: number; needed: number | undefined } {
  // after the messages, as in the header of recv.lua: continuation of the attempt; how many others died; bytes of the next one
  const extra = rest.length % FIELDS;
  const needed = extra > 2 ? Number(rest.pop()) : undefined;
  const died = extra > 0 ? Number(rest.pop()) : 0;
  const continuation = extra > 1 ? String(rest.pop()) : '';
  if (continuation !== '') attempt.continuation = continuation;
  const messages = deliveriesOf(rest);
  // the next slices take more messages, and must not return these again
  if (continuation === '' && messages.length > 0) attempt.id = '';
  return { messages, againMs: again < 0 ? undefined : again, died, needed };
}

/** Values that the script returns for each message. */
const FIELDS = 8;

/** @param taken of each message saddr, id, payload, receipt, attempt, sent_ms, lease_until_ms, traceparent, in one list */
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
