// PEEK: looks at messages without taking them.
import { redisFailure } from '../redis/failure.js';
import { backedKey, deadKey, delayedKey, leasesKey, queueKey, settingsKey } from './keys.js';
import type { Message, Queues } from './queues.js';
import { settle } from './room.js';
import type { Room } from './room.js';

export const STATES = ['waiting', 'leased', 'delayed', 'dead'] as const;
export type State = (typeof STATES)[number];

export interface Seen extends Message {
  sentAtMs: number;
  /** Deliveries so far. */
  attempts: number;
  /** When its lease ends, it is due, or it died, ms since 1970; by its state. */
  atMs: number;
  /** Why it died; empty if it did not. */
  cause: string;
  /** Where the message is: the key's last word, and its member or stream id there. */
  at: [place: string, name: string];
}

const FIELDS = 9;

interface Page {
  messages: Seen[];
  /** Where to go on; empty at the end. */
  cursor: string;
}

/** The same as {@link peek}, when there is room for what it brings. @throws BrokerError overloaded, when there is none */
export async function peekInRoom(
  queues: Queues,
  room: Room,
  address: number,
  state: State,
  max: number,
  cursor: string,
): Promise<Page> {
  const reserved = room.reserve(max, queues.sizes, address);
  const reservation = reserved instanceof Promise ? await reserved : reserved;
  let page: Page;
  try {
    page = await peek(queues, address, state, max, cursor);
  } catch (error) {
    room.settle(reservation, 0);
    throw error;
  }
  settle(room, reservation, queues.sizes, address, page.messages);
  return page;
}

/**
 * @param max most messages to look at: that many are returned at most
 * @param cursor what an earlier call returned; empty: from the start
 * @returns messages in this state (fewer do not mean the end), and where to go on, empty at the end
 * @throws BrokerError unavailable
 */
export async function peek(
  { redis, settings }: Queues,
  address: number,
  state: State,
  max: number,
  cursor = '',
): Promise<Page> {
  const { keyPrefix: prefix } = settings;
  try {
    const [next, ...found] = await redis.aizumiPeek(
      queueKey(prefix, address),
      leasesKey(prefix, address),
      delayedKey(prefix, address),
      backedKey(prefix, address),
      deadKey(prefix, address),
      settingsKey(prefix, address),
      state,
      max,
      cursor,
    );
    const messages = Array.from({ length: found.length / FIELDS }, (_, i) => seen(found.slice(FIELDS * i)));
    return { messages, cursor: next };
  } catch (error) {
    throw redisFailure(error);
  }
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

/** The receipt of a leased message: the member of `held` is that of `leases` turned round. */
export const receiptOf = ({ at: [, member] }: Seen): string =>
  `${member.slice(25, 41)}:${member.slice(0, 24)}${member.slice(41)}`;

/**
 * Walks over the messages in this state, page by page, until it has been told to stop or there are no more.
 * @param ids only messages with one of these; all if undefined
 * @param most messages in all
 * @param act what to do with a page's messages; returns how many it did, and whether to go on
 * @returns how many it did in all
 */
export async function forEachPage(
  queues: Queues,
  address: number,
  state: State,
  ids: readonly number[] | undefined,
  most: number,
  act: (messages: Seen[]) => Promise<{ done: number; goOn: boolean }>,
): Promise<number> {
  const wanted = ids && new Set(ids);
  let done = 0;
  let cursor = '';
  do {
    const page = await peek(queues, address, state, most, cursor);
    cursor = page.cursor;
    const chosen = page.messages.filter(({ id }) => !wanted || wanted.has(id)).slice(0, most - done);
    if (chosen.length === 0) continue;
    const result = await act(chosen);
    done += result.done;
    if (!result.goOn) break;
  } while (cursor !== '' && done < most);
  return done;
}
