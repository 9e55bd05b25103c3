// GET /queues: the queues that there are, and how each is.
import { redisFailure } from '../redis/failure.js';
import { registryKey, sampleKey } from './keys.js';
import type { Queues } from './queues.js';
import { ratesOf } from './rates.js';
import type { Rates } from './rates.js';
import { look } from './stat.js';
import type { QueueStat } from './stat.js';

export interface QueueReport extends QueueStat {
  address: number;
  rates: Rates;
}

/** A queue that nobody looked at for so long is sampled anew, ms. */
const KEEP_SAMPLE_MS = 3_600_000;
const MAX_ADDRESS = 0xffff_ffff;

/**
 * @returns undefined where `address` has no queue
 * @throws BrokerError unavailable
 */
export async function report(queues: Queues, address: number): Promise<QueueReport | undefined> {
  try {
    const found = await look(queues, address);
    if (!found) return undefined;
    const { rates, keep } = ratesOf(found.counters, found.sample);
    if (keep) {
      const key = sampleKey(queues.settings.keyPrefix, address);
      await queues.redis.aizumiSample(key, JSON.stringify(keep), KEEP_SAMPLE_MS);
    }
    return { address, ...found.stat, rates };
  } catch (error) {
    throw redisFailure(error);
  }
}

/**
 * A page of queues by their addresses; all of its commands leave at once.
 * @param prefix how the address's decimal text begins; empty: any
 * @param after the last address of the page before; -1: from the start
 * @returns `last`: where the next page begins, undefined at the end
 * @throws BrokerError unavailable
 */
export async function list(
  queues: Queues,
  prefix: string,
  after: number,
  limit: number,
): Promise<{ reports: QueueReport[]; last: number | undefined }> {
  const addresses = await registered(queues, prefix, after, limit + 1);
  const page = addresses.slice(0, limit);
  const reports = await Promise.all(page.map((address) => report(queues, address)));
  return {
    reports: reports.filter((found) => found !== undefined),
    last: addresses.length > limit ? page.at(-1) : undefined,
  };
}

async function registered(
  { redis, settings }: Queues,
  prefix: string,
  after: number,
  count: number,
): Promise<number[]> {
  const addresses: number[] = [];
  try {
    for (const [first, last] of rangesOf(prefix)) {
      if (addresses.length >= count || last <= after) continue;
      const from = String(Math.max(first, after + 1));
      const left = count - addresses.length;
      const members = await redis.zrange(
        registryKey(settings.keyPrefix),
        from,
        String(last),
        'BYSCORE',
        'LIMIT',
        0,
        left,
      );
      addresses.push(...members.map(Number));
    }
  } catch (error) {
    throw redisFailure(error);
  }
  return addresses;
}

/** 42 → 42 … 42, 420 … 429, 4200 … 4299, …: ascending, ten at most */
function rangesOf(prefix: string): [first: number, last: number][] {
  if (prefix === '') return [[0, MAX_ADDRESS]];
  const ranges: [number, number][] = [];
  const start = Number(prefix);
  for (let width = 1; start * width <= MAX_ADDRESS; width *= 10) {
    ranges.push([start * width, Math.min(start * width + width - 1, MAX_ADDRESS)]);
    if (start === 0) break; // no other address begins with 0
  }
  return ranges;
}
