// What a queue holds right now.
import { backedKey, countsKey, deadKey, delayedKey, leasesKey, queueKey, sampleKey, settingsKey } from './keys.js';
import { underCeilings } from './own-settings.js';
import type { Queues } from './queues.js';

export interface QueueStat {
  waiting: number;
  leased: number;
  delayed: number;
  dead: number;
  /** Messages thrown away because their time to live was over. */
  expired: number;
  /** Age of the oldest message that waits or is leased, ms; 0 when there is none. */
  oldestMs: number;
  /** That the messages take in Redis, the dead included: measured, and estimated beyond some 600,000 messages. */
  bytes: number;
  /** What HELO set, by its name on the wire. */
  settings: Record<string, number>;
}

/** Counters that only grow while the queue lives, and when they were read, ms since 1970 by Redis's clock. */
export interface Counters {
  at: number;
  sent: number;
  /** First deliveries; -1: unknown. */
  received: number;
  gone: number;
}

export interface Look {
  stat: QueueStat;
  counters: Counters;
  /** Fields of the hash of that name. */
  sample: Record<string, number>;
  /** The first of its messages has, and counts until something comes upon it. */
  hasExpired: boolean;
}

/** @returns undefined where there is no queue */
export async function look({ redis, settings }: Queues, address: number): Promise<Look | undefined> {
  const { keyPrefix: prefix } = settings;
  const makers = [queueKey, leasesKey, delayedKey, backedKey, deadKey, settingsKey, countsKey, sampleKey] as const;
  const [queue, leases, delayed, backed, dead, own, counts, sample] = makers.map((key) => key(prefix, address)) as [
    ...Parameters<typeof redis.aizumiStat>,
  ];
  const found = await redis.aizumiStat(queue, leases, delayed, backed, dead, own, counts, sample);
  if (found === null) return undefined;
  const [ownSettings, lastSample, hasExpired] = found.slice(11) as [string[], string[], 0 | 1];
  const [waiting, leased, delays, deaths, expired, oldestMs, at, sent, received, gone, bytes] = found as unknown as [
    ...Tuple11,
  ];
  return {
    stat: {
      waiting,
      leased,
      delayed: delays,
      dead: deaths,
      expired,
      oldestMs,
      bytes,
      settings: underCeilings(numbers(ownSettings), settings),
    },
    counters: { at, sent, received, gone },
    sample: numbers(lastSample),
    hasExpired: hasExpired === 1,
  };
}

type Tuple11 = [number, number, number, number, number, number, number, number, number, number, number];

/** HGETALL's flat list → an object */
const numbers = (flat: string[]): Record<string, number> =>
  Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])]] : [])));
