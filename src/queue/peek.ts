// PEEK: looks at messages without taking them.
import { redisFailure } from '../redis/failure.js';
import { backedKey, deadKey, delayedKey, leasesKey, queueKey, settingsKey } from './keys.js';
import type { Message, Queues } from './queues.js';

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

/** As peek.lua makes them: score and mark, by the place; numbers that Redis takes, so that none of them is an error there. */
const LEASES = String.raw`\d{1,16}\.[\d-]{24}:\d{16}`;
const BACKED = String.raw`\d{1,16}\.[\d-]{24}`;
const DELAYED = String.raw`\d{1,16}\.\d{16}`;
const STREAM = String.raw`0\.\d{1,19}-\d{1,19}`;

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

/** Whether {@link peek} may have returned it for this state. */
export const isCursor = (state: State, cursor: string): boolean => CURSORS[state].test(cursor);

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
): Promise<{ messages: Seen[]; cursor: string }> {
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
