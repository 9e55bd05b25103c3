// DROP: deletes messages that no receiver holds.
import { PURGE_MS } from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import { measureAgain } from './measure.js';
import { messageKeys } from './message-keys.js';
import type { MessageKeys } from './message-keys.js';
import { forEachSlice } from './peek.js';
import type { Seen, State, Walk, Walked } from './peek.js';
import type { Queues } from './queues.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiDrop(
      ...args: [...keys: MessageKeys, targets: string, windowMs: number, onlyExpired: 0 | 1]
    ): Promise<[deleted: number, expired: number]>;
  }
}

export type Droppable = Exclude<State, 'leased'>;

/**
 * Deletes messages with one of these ids, from any sender.
 * @returns how many were deleted, `most` at most
 * @throws BrokerError unavailable, overloaded (some may have been deleted, unless the outcome is not_done)
 */
export async function drop(
  queues: Queues,
  address: number,
  state: Droppable,
  ids: readonly number[],
  most: number,
  asker = NOBODY,
): Promise<number> {
  return (await walk(queues, address, { state, which: 'all', ids, most, asker })).done;
}

/**
 * Deletes all messages that are in this state when it begins, and none that is sent later; stops when the client has left.
 * @returns how many were deleted, and whether there were more when its time was up
 * @throws as {@link drop}
 */
export async function purge(
  queues: Queues,
  address: number,
  state: Droppable,
  asker = NOBODY,
  mostMs = PURGE_MS,
): Promise<{ count: number; more: boolean }> {
  const untilMs = performance.now() + mostMs;
  const { done, cursor } = await walk(queues, address, { state, which: 'all', asker, isBounded: true, untilMs });
  return { count: done, more: cursor !== undefined };
}

/** Waiting messages may have expired: these are deleted, too, but not counted. */
async function walk(queues: Queues, address: number, what: Walk): Promise<Walked> {
  const seen = { slices: 0 };
  const walked = await forEachSlice(queues, address, what, async (messages) => {
    seen.slices++;
    const [done] = await deleteSlice(queues, address, messages, 0);
    return { done, goOn: true };
  });
  if (seen.slices > 0) await learnRoom(queues, address);
  return walked;
}

/**
 * Deletes messages that peek.lua has found.
 * @returns how many were deleted, and how many more were deleted because they had expired
 */
export async function deleteSlice(
  { redis, settings }: Queues,
  address: number,
  messages: readonly Seen[],
  onlyExpired: 0 | 1,
): Promise<[deleted: number, expired: number]> {
  const { keyPrefix: prefix, dedupWindowMs } = settings;
  try {
    return await redis.aizumiDrop(
      ...messageKeys(prefix, address),
      JSON.stringify(messages.map(({ at }) => at)),
      dedupWindowMs,
      onlyExpired,
    );
  } catch (error) {
    throw redisFailure(error);
  }
}

/** Measures the queue, so that the next SEND is not refused because of an outdated size. */
export async function learnRoom(queues: Queues, address: number): Promise<void> {
  queues.lengths.doubt(address);
  // if it fails, one of the next SENDs measures the queue
  await measureAgain(queues, address).catch(() => undefined);
}
