// Counts what a queue holds, for STAT, GET /queues and the metrics.
import { backedKey, countsKey, deadKey, delayedKey, leasesKey, queueKey, settingsKey } from './keys.js';
import { estimate } from './measure.js';
import { underCeilings } from './own-settings.js';
import type { Queues } from './queues.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiStat(
      ...args: [
        queue: string,
        leases: string,
        delayed: string,
        backed: string,
        dead: string,
        settings: string,
        counts: string,
      ]
    ): Promise<
      | [
          waiting: number,
          leased: number,
          delayed: number,
          dead: number,
          expired: number,
          oldestMs: number,
          settings: string[],
          hasExpired: 0 | 1,
        ]
      | null
    >;
  }
}

export interface QueueStat {
  waiting: number;
  leased: number;
  delayed: number;
  dead: number;
  /** Messages that were deleted because their time to live was over. */
  expired: number;
  /** Age of the oldest waiting or leased message, ms; 0 when there is none. */
  oldestMs: number;
  /** Bytes in Redis, including dead messages and what messages will take while they are leased; of a long queue an estimate. */
  bytes: number;
  /** Settings that HELO made, by their names on the wire. */
  settings: Record<string, number>;
}

export interface StatReading {
  stat: QueueStat;
  /** The first message has expired; it counts until it is deleted. */
  hasExpired: boolean;
}

/** @returns undefined where there is no queue */
export async function readStat(queues: Queues, address: number): Promise<StatReading | undefined> {
  const { redis, settings } = queues;
  const { keyPrefix: prefix } = settings;
  const makers = [queueKey, leasesKey, delayedKey, backedKey, deadKey, settingsKey, countsKey] as const;
  const [queue, leases, delayed, backed, dead, own, counts] = makers.map((key) => key(prefix, address)) as [
    ...Parameters<typeof redis.aizumiStat>,
  ];
  const [found, bytes] = await Promise.all([
    redis.aizumiStat(queue, leases, delayed, backed, dead, own, counts),
    estimate(queues, address),
  ]);
  if (found === null) return undefined;
  const [waiting, leased, delays, deaths, expired, oldestMs, ownSettings, hasExpired] = found;
  return {
    stat: {
      waiting,
      leased,
      delayed: delays,
      dead: deaths,
      expired,
      oldestMs,
      bytes,
      settings: underCeilings(numbersOf(ownSettings), settings),
    },
    hasExpired: hasExpired === 1,
  };
}

/** HGETALL's flat list → an object */
export const numbersOf = (flat: string[]): Record<string, number> =>
  Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])]] : [])));
