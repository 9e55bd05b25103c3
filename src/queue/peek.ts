// PEEK: reads messages without taking them.
import { MAX_REPLY_PAYLOAD_BYTES, SLICE_BYTES, SLICE_MESSAGES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { redisFailure } from '../redis/failure.js';
import { backedKey, deadKey, delayedKey, leasesKey, queueKey, settingsKey } from './keys.js';
import { UNIQUE_PART, receiptOfLease } from './members.js';
import type { Message, Queues } from './queues.js';
import { inRoom } from './room.js';
import type { Room } from './room.js';
import { partlyDone } from './slices.js';
import { NOBODY } from './turns.js';
import type { Asker } from './turns.js';

/** Which messages peek.lua returns, depending on whether their time to live is over. */
export type Which = 'live' | 'expired' | 'all';

declare module './queues.js' {
  interface QueueCommands {
    aizumiPeek(
      ...args: [
        queue: string,
        leases: string,
        delayed: string,
        backed: string,
        dead: string,
        settings: string,
        state: string,
        max: number,
        cursor: string,
        mostText: number,
        returnsPayloads: 0 | 1,
        which: Which,
        bound: string,
      ]
    ): Promise<[cursor: string, read: number, bound: string, ...found: (string | number)[]]>;
  }
}

export const STATES = ['waiting', 'leased', 'delayed', 'dead'] as const;
export type State = (typeof STATES)[number];

export interface Seen extends Message {
  sentAtMs: number;
  /** Deliveries so far. */
  attempts: number;
  /** When its lease ends, when it is due, or when it died, depending on its state; ms since 1970. */
  atMs: number;
  /** Why it died; empty if it did not. */
  cause: string;
  /** Where the message is: the last word of the key, and its member or stream id there. */
  at: [place: string, name: string];
}

const FIELDS = 9;

/** Cursors of peek.lua in a place: score and mark. Redis accepts the score as a number, so that no cursor is an error there. */
const LEASES = String.raw`\d{1,16}\.${UNIQUE_PART.leases}`;
const BACKED = String.raw`\d{1,16}\.${UNIQUE_PART.backed}`;
const DELAYED = String.raw`\d{1,16}\.${UNIQUE_PART.delayed}`;
const STREAM = String.raw`0\.${UNIQUE_PART.stream}`;

/** The places of each state, in the order in which peek.lua numbers them. */
const PLACES: Readonly<Record<State, readonly string[]>> = {
  waiting: [LEASES, BACKED, STREAM, DELAYED],
  leased: [LEASES],
  delayed: [DELAYED, BACKED],
  dead: [STREAM],
};
const CURSORS = Object.fromEntries(
  STATES.map((state) => {
    const places = PLACES[state].map((place, i) => String.raw`${i + 1}\.(0\.0|${place})`);
    return [state, new RegExp(`^(${places.join('|')})$`)];
  }),
) as Record<State, RegExp>;

/** The cursors that {@link peek} returns for this state. */
export const cursorPattern = (state: State): string => CURSORS[state].source;

/** Whether {@link peek} may have returned this cursor for this state. */
export const isCursor = (state: State, cursor: string): boolean => CURSORS[state].test(cursor);

/** The same as {@link peek}, if there is room for the messages. @throws BrokerError overloaded when there is none */
export function peekInRoom(
  queues: Queues,
  room: Room,
  address: number,
  state: State,
  max: number,
  cursor: string,
  asker: Asker,
): Promise<Page> {
  const { sizes } = queues;
  return inRoom(room, { count: max, sizes, address }, () => peek(queues, address, state, max, cursor, asker));
}

/**
 * @param max most messages to read and return; there are no more once their payloads are {@link MAX_REPLY_PAYLOAD_BYTES} long
 * @param cursor what an earlier call returned; empty: from the start
 * @returns messages in this state (fewer do not mean the end), and the cursor for the next call, empty at the end
 * @throws BrokerError unavailable, overloaded
 */
export async function peek(
  queues: Queues,
  address: number,
  state: State,
  max: number,
  cursor = '',
  asker = NOBODY,
): Promise<Page> {
  const messages: Seen[] = [];
  let read = 0;
  let bytes = 0;
  let next = cursor;
  do {
    const most = {
      messages: Math.min(max - read, SLICE_MESSAGES),
      bytes: Math.min(SLICE_BYTES, MAX_REPLY_PAYLOAD_BYTES - bytes),
    };
    let page: SlicePage;
    try {
      const slice = { state, ...most, cursor: next, hasPayloads: true, which: 'live', bound: '' } as const;
      page = await peekSlice(queues, address, slice, asker, read > 0);
    } catch (error) {
      // a page may end anywhere
      if (messages.length === 0) throw error;
      break;
    }
    for (const message of page.messages) {
      messages.push(message);
      bytes += message.payload.length;
    }
    next = page.cursor;
    read += page.read;
  } while (next !== '' && read < max && bytes < MAX_REPLY_PAYLOAD_BYTES);
  return { messages, cursor: next };
}

interface Page {
  messages: Seen[];
  cursor: string;
}

interface SlicePage extends Page {
  /** How many messages were read. */
  read: number;
  bound: string;
}

interface PageOptions {
  state: State;
  messages: number;
  bytes: number;
  cursor: string;
  hasPayloads: boolean;
  which: Which;
  /** Position of the walk, in the form of peek.lua. */
  bound: string;
}

/** Calls peek.lua once, when it is its turn. */
function peekSlice(
  { redis, settings: { keyPrefix: prefix }, turns }: Queues,
  address: number,
  { state, messages: max, bytes, cursor, hasPayloads, which, bound: asked }: PageOptions,
  asker: Asker,
  isBegun: boolean,
): Promise<SlicePage> {
  const key = queueKey(prefix, address);
  return turns.take({ key, size: max, asker, isBegun }, async () => {
    try {
      const [next, read, bound, ...found] = await redis.aizumiPeek(
        key,
        leasesKey(prefix, address),
        delayedKey(prefix, address),
        backedKey(prefix, address),
        deadKey(prefix, address),
        settingsKey(prefix, address),
        state,
        max,
        cursor,
        bytes,
        hasPayloads ? 1 : 0,
        which,
        asked,
      );
      const messages = Array.from({ length: found.length / FIELDS }, (_, i) =>
        seen(found.slice(FIELDS * i, FIELDS * (i + 1))),
      );
      return { messages, cursor: next, read, bound };
    } catch (error) {
      throw redisFailure(error);
    }
  });
}

function seen([place, name, saddr, id, payload, sentMs, attempts, atMs, cause]: (string | number)[]): Seen {
  return {
    saddr: Number(saddr),
    id: Number(id),
    payload: String(payload),
    sentAtMs: Number(sentMs),
    attempts: Number(attempts),
    atMs: Number(atMs),
    cause: String(cause),
    at: [String(place), String(name)],
  };
}

/** The receipt of a leased message. */
export const receiptOf = ({ at: [, lease] }: Seen): string => receiptOfLease(lease);

/** A walk over the messages in one state, slice by slice. */
export interface Walk {
  state: State;
  which: Which;
  /** Only messages with one of these ids; undefined: all. */
  ids?: readonly number[];
  asker: Asker;
  /** Where it begins, as an earlier walk returned it; by default at the start. */
  cursor?: string;
  /** Messages that are sent after it has begun are left out. */
  isBounded?: boolean;
  /** It ends after the slice that reaches one of these: messages that were chosen, slices, performance.now(). */
  most?: number;
  mostSlices?: number;
  untilMs?: number;
}

export interface Walked {
  /** How many messages `act` has processed. */
  done: number;
  /** Where it stopped; undefined: it has read all. */
  cursor: string | undefined;
  slices: number;
}

/**
 * Walks until `act` stops it, a bound is reached, the client has left, or there are no more messages.
 * @param act receives a slice's messages without their payloads; returns how many it has processed, and whether to go on
 * @throws BrokerError unavailable, overloaded; what `act` throws
 */
export async function forEachSlice(
  queues: Queues,
  address: number,
  walk: Walk,
  act: (messages: Seen[]) => Promise<{ done: number; goOn: boolean }>,
): Promise<Walked> {
  const { turns, settings } = queues;
  const { state, which, asker, most = Infinity, mostSlices = Infinity, untilMs = Infinity } = walk;
  const key = queueKey(settings.keyPrefix, address);
  const wanted = walk.ids && new Set(walk.ids);
  const slice = { state, which, messages: SLICE_MESSAGES, bytes: SLICE_BYTES, hasPayloads: false };
  let cursor = walk.cursor ?? '';
  let bound = walk.isBounded ? 'now' : '';
  let done = 0;
  let slices = 0;
  try {
    do {
      const page = await peekSlice(queues, address, { ...slice, cursor, bound }, asker, slices > 0);
      slices++;
      ({ bound } = page);
      const chosen = page.messages.filter(({ id }) => !wanted || wanted.has(id)).slice(0, most - done);
      let isDone = true;
      if (chosen.length > 0) {
        const result = await turns.take({ key, size: chosen.length, asker, isBegun: true }, () => act(chosen));
        done += result.done;
        isDone = result.goOn;
      }
      if (!isDone || done >= most) return { done, cursor, slices };
      if (page.cursor === '') return { done, cursor: undefined, slices };
      ({ cursor } = page);
    } while (slices < mostSlices && performance.now() < untilMs && !asker.hasLeft);
  } catch (error) {
    // its next slice was refused because the client has left: only the audit log needs to know what was done
    if (asker.hasLeft && slices > 0 && error instanceof BrokerError && error.outcome === 'not_done')
      return { done, cursor, slices };
    throw done > 0 ? partlyDone(error) : error;
  }
  return { done, cursor, slices };
}
