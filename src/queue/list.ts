// GET /queues: lists queues with their counts and rates.
import { KEEP_SAMPLE_MS, LISTED_AT_ONCE, MAX_ADDRESS, RANGES_AT_ONCE, SLICE_MESSAGES } from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import { readLiveStat } from './expire.js';
import { delayedKey, queueKey, registryKey, sampleKey } from './keys.js';
import type { Queues } from './queues.js';
import { ratesOf } from './rates.js';
import type { Rates } from './rates.js';
import { numbersOf, readStat } from './stat.js';
import type { QueueStat } from './stat.js';
import { NOBODY } from './turns.js';
import type { Asker } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiCounters(
      ...args: [queue: string, delayed: string, sample: string]
    ): Promise<[at: number, sent: number, received: number, gone: number, sample: string[]]>;
    aizumiSample(...args: [sample: string, fields: string, keepMs: number]): Promise<0>;
  }
}

export interface QueueReport extends QueueStat {
  address: number;
  rates: Rates;
}

/**
 * @returns undefined where `address` has no queue
 * @throws BrokerError unavailable
 */
export function report(queues: Queues, address: number): Promise<QueueReport | undefined> {
  return reportOf(queues, address, readLiveStat);
}

async function reportOf(queues: Queues, address: number, read: typeof readStat): Promise<QueueReport | undefined> {
  try {
    const { redis, settings } = queues;
    const [queue, delayed, sample] = [queueKey, delayedKey, sampleKey].map((key) =>
      key(settings.keyPrefix, address),
    ) as [...Parameters<typeof redis.aizumiCounters>];
    const [found, counters] = await Promise.all([read(queues, address), redis.aizumiCounters(queue, delayed, sample)]);
    if (!found) return undefined;
    const [at, sent, received, gone, before] = counters;
    const { rates, keep } = ratesOf({ at, sent, received, gone }, numbersOf(before));
    if (keep) await redis.aizumiSample(sample, JSON.stringify(keep), KEEP_SAMPLE_MS);
    return { address, ...found.stat, rates };
  } catch (error) {
    throw redisFailure(error);
  }
}

/** Addresses from the first to the last, both included. */
type Range = readonly [first: number, last: number];

interface Page {
  /** First digits of the addresses; empty: any. */
  prefix: string;
  /** The last address of the page before; -1: from the start. */
  after: number;
  limit: number;
  /** Only addresses in these ranges, which are ascending and do not overlap. */
  among: readonly Range[];
}

/**
 * A page of queues by their addresses, {@link LISTED_AT_ONCE} at a time.
 * @returns `last`: where the next page begins, undefined at the end
 * @throws BrokerError unavailable, overloaded
 */
export async function list(
  queues: Queues,
  { prefix, after, limit, among }: Page,
  asker = NOBODY,
): Promise<{ reports: QueueReport[]; last: number | undefined }> {
  const ranges = rangesOf(prefix).flatMap((range) => common(range, after, among));
  const addresses = await registered(queues, ranges, limit + 1, asker);
  const page = addresses.slice(0, limit);
  const reports: QueueReport[] = [];
  for (let i = 0; i < page.length; i += LISTED_AT_ONCE) {
    const some = page.slice(i, i + LISTED_AT_ONCE);
    const found = await inTurn(queues, asker, true, () =>
      Promise.all(some.map((each) => reportOf(queues, each, readStat))),
    );
    reports.push(...found.filter((report) => report !== undefined));
  }
  return {
    reports,
    last: addresses.length > limit ? page.at(-1) : undefined,
  };
}

/** The queues of a page may be on any node of a Cluster: a page uses the turns of the node that has the register. */
const inTurn = <T>({ turns, settings }: Queues, asker: Asker, isBegun: boolean, act: () => Promise<T>): Promise<T> =>
  turns.take({ key: registryKey(settings.keyPrefix), size: SLICE_MESSAGES, asker, isBegun }, act);

async function registered(queues: Queues, ranges: readonly Range[], count: number, asker: Asker): Promise<number[]> {
  const { redis, settings } = queues;
  const addresses: number[] = [];
  const key = registryKey(settings.keyPrefix);
  const addressesIn = ([first, last]: Range): Promise<string[]> =>
    redis.zrange(key, String(first), String(last), 'BYSCORE', 'LIMIT', 0, count - addresses.length);
  try {
    for (let i = 0; i < ranges.length && addresses.length < count; i += RANGES_AT_ONCE) {
      const some = ranges.slice(i, i + RANGES_AT_ONCE);
      const found = await inTurn(queues, asker, i > 0, () => Promise.all(some.map(addressesIn)));
      addresses.push(...found.flat().map(Number));
    }
  } catch (error) {
    throw redisFailure(error);
  }
  return addresses.slice(0, count);
}

/** The parts of a range that are after an address and in one of `among`. */
const common = ([first, last]: Range, after: number, among: readonly Range[]): Range[] =>
  among
    .map(([from, to]) => [Math.max(first, after + 1, from), Math.min(last, to)] as const)
    .filter(([from, to]) => from <= to);

/** 42 → 42 … 42, 420 … 429, 4200 … 4299, …: ascending, at most ten ranges */
function rangesOf(prefix: string): Range[] {
  if (prefix === '') return [[0, MAX_ADDRESS]];
  const ranges: Range[] = [];
  const start = Number(prefix);
  for (let width = 1; start * width <= MAX_ADDRESS; width *= 10) {
    ranges.push([start * width, Math.min(start * width + width - 1, MAX_ADDRESS)]);
    if (start === 0) break; // no other address begins with 0
  }
  return ranges;
}
