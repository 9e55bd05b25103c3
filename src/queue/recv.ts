// RECV: takes the next messages of a queue under a lease.
import { redisFailure } from '../redis/failure.js';
import { giveBack } from './give-back.js';
import { queueKey } from './keys.js';
import { SCRIPT_COST } from './light-turns.js';
import { ENVELOPE_BYTES, bytesOf } from './message-sizes.js';
import { messageKeys } from './message-keys.js';
import type { MessageKeys } from './message-keys.js';
import type { Message, QueueRedis, QueueSettings, Queues } from './queues.js';
import { inRoom, noRoomInReply, noteSizes } from './room.js';
import type { Room } from './room.js';
import { LIGHT_BYTES, LIGHT_MESSAGES, MOST_BYTES, SLICE_BYTES, SLICE_MESSAGES } from './slices.js';
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
  goesOn: string,
  room: number,
  envelope: number,
  mostTold: number,
];
type Reply = [againMs: number, ...taken: (string | number)[]];

declare module './queues.js' {
  interface QueueCommands {
    aizumiRecv(...args: RecvArguments): Promise<Reply>;
    aizumiRecvRemembering(...args: RecvArguments): Promise<Reply>;
  }
}

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

/** What there is no room for: how many bytes, or that an attempt has taken more messages earlier than are asked for now. */
const MANY_TOLD = -1;
/** An attempt has taken no more, messages. */
const MOST_TOLD = 1_000;
/** So often a RECV is begun anew because the message that comes next has become larger meanwhile. */
const MOST_TRIES = 4;

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

/** What a script call has found. */
interface Found extends Received {
  /** It has stopped before a message that takes so many bytes, for which there is no room, or {@link MANY_TOLD}. */
  needed?: number | undefined;
}

/**
 * Takes one message, which is small, without a slice's turn.
 * @returns what there is no room for, as {@link Found} has it: nothing was taken
 */
async function recvLight(
  queues: Queues,
  address: number,
  options: RecvOptions,
  { asker = NOBODY, read }: RecvManner,
): Promise<Received | number> {
  const { light, settings, sizes, observer } = queues;
  const { room } = options;
  const attempt: Attempt = { id: options.attemptId ?? '', goesOn: '', isForgotten: false };
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
  const attempt: Attempt = { id: attemptId ?? '', goesOn: '', isForgotten: false };
  let mostTold = needed === MANY_TOLD ? MOST_TOLD : max;
  noteNeeded(queues, address, needed);
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const bring = (bytes: number): Promise<Found> =>
      take(queues, address, options, manner, { bytes, told: mostTold }, attempt);
    const found = await (room === undefined
      ? bring(Infinity)
      : inRoom(room, { count: mostTold, sizes, address }, bring, ({ messages }) =>
          giveBack(queues, address, messages, attemptId, manner.asker?.who),
        ));
    if (found.needed === undefined) {
      const message = found.messages.at(-1);
      if (message !== undefined) sizes.noteLast(address, bytesOf(message.payload) > LIGHT_BYTES);
      return found;
    }
    noteNeeded(queues, address, found.needed);
    if (found.messages.length > 0) return { messages: found.messages, againMs: undefined };
    if (found.needed === MANY_TOLD) mostTold = MOST_TOLD;
  }
  throw noRoomInReply();
}

function noteNeeded({ sizes }: Queues, address: number, needed: number): void {
  if (needed <= 0) return;
  sizes.note(address, needed);
  sizes.noteLast(address, needed > LIGHT_BYTES);
}

/** What the messages of a RECV may be together, and how many an attempt may have taken earlier. */
interface Most {
  readonly bytes: number;
  readonly told: number;
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
      bytes: Math.min(SLICE_BYTES, MOST_BYTES - bytes),
      slice: SLICE_MESSAGES,
      room: room.bytes - used,
      told: room.told,
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
    const isTold = attempt.goesOn.includes(' ');
    for (const message of messages) {
      taken.push(message);
      bytes += message.payload.length;
      used += bytesOf(message.payload);
    }
    if (needed !== undefined) {
      // of what an attempt has taken earlier all is told: from the start, in more room
      if (isTold) attempt.goesOn = taken.length > 0 ? `${attempt.goesOn.split(' ', 1).join('')} 1 0` : '';
      return { messages: isTold ? [] : taken, againMs: taken.length > 0 && !isTold ? undefined : 0, needed };
    }
    if (taken.length === 0 && (againMs !== 0 || !isTold)) return { messages, againMs: isTold ? 0 : againMs };
    const nowMs = performance.now();
    if (messages.length > 0) untilMs = nowMs + PATIENCE_MS;
    const isDone = againMs !== 0 || bytes >= MOST_BYTES || (taken.length >= max && !isTold);
    if (isDone || nowMs > untilMs || asker.hasLeft) return { messages: taken, againMs: undefined };
    // one that ended before it had as many as it may take was as large as a slice may be
    const wasCutShort = messages.length < most.messages;
    messagesLeft = isTold ? SLICE_MESSAGES : Math.min(max - taken.length, SLICE_MESSAGES);
    size = wasCutShort || isTold ? SLICE_MESSAGES : messagesLeft;
  }
}

/** As so many messages counts a first slice, by what is known of their length. */
function sizeOf({ sizes }: Queues, address: number, messages: number): number {
  const bytes = messages * (sizes.largest(address) ?? 0);
  return Math.min(SLICE_MESSAGES, Math.max(messages, Math.ceil((bytes * SLICE_MESSAGES) / SLICE_BYTES)));
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

interface MostOfCall {
  readonly messages: number;
  readonly bytes: number;
  /** Messages that the call deals with. */
  readonly slice: number;
  /** Bytes of what it brings. */
  readonly room: number;
  /** Messages that the attempt may have taken earlier. */
  readonly told: number;
}

const LIGHT: MostOfCall = { messages: 1, bytes: LIGHT_BYTES, slice: LIGHT_MESSAGES, room: LIGHT_BYTES, told: 1 };

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
    callAs('aizumiRecv', `full ${attempt.goesOn}`, redis, settings, address, options, most, attempt.id);
  if (attempt.isForgotten) return forgetful();
  const name = 'aizumiRecvRemembering';
  return callAs(name, attempt.goesOn, redis, settings, address, options, most, attempt.id).catch((error: unknown) => {
    // Redis refused the whole script: nothing was taken. An attempt that has messages ends here, since it cannot be remembered
    // with these.
    const isOutOfMemory = error instanceof Error && error.message.startsWith('OOM');
    if (!isOutOfMemory || /^\d+$/.test(attempt.goesOn)) throw error;
    attempt.isForgotten = true;
    return forgetful();
  });
}

const callAs = (
  name: 'aizumiRecv' | 'aizumiRecvRemembering',
  goesOn: string,
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
    goesOn,
    Math.min(most.room, Number.MAX_SAFE_INTEGER),
    ENVELOPE_BYTES,
    most.told,
  );

/** What a call has brought; notes in `attempt` how it goes on. */
function partOf(
  [again, ...rest]: Reply,
  attempt: Attempt,
): { messages: Delivery[]; againMs: number | undefined; died: number; needed: number | undefined } {
  // behind the messages, as recv.lua says: with an attempt how it goes on; how many others died; what the next one takes
  const extra = rest.length % FIELDS;
  const needed = extra > 2 ? Number(rest.pop()) : undefined;
  const died = extra > 0 ? Number(rest.pop()) : 0;
  const goesOn = extra > 1 ? String(rest.pop()) : '';
  if (goesOn !== '') attempt.goesOn = goesOn;
  const messages = deliveriesOf(rest);
  // the slices that follow take more, and must not be told these
  if (goesOn === '' && messages.length > 0) attempt.id = '';
  return { messages, againMs: again < 0 ? undefined : again, died, needed };
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
