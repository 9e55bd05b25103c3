// What a queue holds right now.
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
  /** Messages thrown away because their time to live was over. */
  expired: number;
  /** Age of the oldest message that waits or is leased, ms; 0 when there is none. */
  oldestMs: number;
  /** That the messages take in Redis, the dead included, or will while they are leased; of a long queue an estimate. */
  bytes: number;
  /** What HELO set, by its name on the wire. */
  settings: Record<string, number>;
}

export interface Look {
  stat: QueueStat;
  /** The first of its messages has, and counts until something comes upon it. */
  hasExpired: boolean;
}

/** @returns undefined where there is no queue */
export async function look(queues: Queues, address: number): Promise<Look | undefined> {
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
