// Pure: history of the clients → broken promises. The definitions are those of Jepsen's queue checkers:
// A attempted, K acknowledged, D delivered; lost = K − D, unexpected = D − A.
import { LEVELS, groupBy, overlaps } from './history.js';
import type { Attempt, Delivery, FaultWindow, History, Level } from './history.js';
import { outOfOrder } from './order.js';
import { repeats, takenBack } from './repeats.js';

export interface LevelCounts {
  attempted: number;
  acknowledged: number;
  /** Neither acknowledged nor certainly refused after all their attempts. */
  unknown: number;
  /** Acknowledged and never delivered. */
  lost: number[];
}

export interface Verdict {
  levels: Record<Level, LevelCounts>;
  delivered: number;
  /** Delivered but never sent, or with another payload. */
  unexpected: number[];
  /** Delivered although every attempt was answered "not done". */
  denied: number[];
  /** Delivered again after a FREE was acknowledged. */
  duplicates: number[];
  /** Delivered again during the lease of the previous delivery. */
  twoLeases: number[];
  /** A FREE by receipt was refused as `lease_lost` during its lease. */
  takenBack: number[];
  /** First delivered after a message that was sent later. */
  outOfOrder: number[];
  /** The same three where a fail-over (leases and FREEs do not wait for replicas) or a jump of Redis's clock excuses them. */
  excused: number;
  /** Requests that took longer than {@link SLOW_MS}. */
  slow: number;
  strange: string[];
}

/** Far above the limit for a reply (AIZUMI_DURABILITY_TIMEOUT_MS: 1 s, 2 s in docker-compose.yml): the machine is busy. */
export const SLOW_MS = 6_000;
/** @param history of a drained run: what was not delivered by now never will be */
export function check(history: History): Verdict {
  const { attempts, receives, faults } = history;
  const deliveries = receives.filter((receive): receive is Delivery => receive.message !== undefined);
  const sends = groupBy(attempts, ({ message }) => message);
  const seen = groupBy(deliveries, ({ message }) => message);
  const failovers = faults.filter(({ kind }) => kind === 'failover');
  const isDenied = (sent: Attempt[]): boolean => sent.every(({ answer }) => answer === 'refused');

  const again = repeats(history, sends, seen);
  const late = outOfOrder(sends, seen, receives, failovers);
  return {
    levels: Object.fromEntries(LEVELS.map((level) => [level, countLevel(level, sends, seen)])) as Verdict['levels'],
    delivered: seen.size,
    unexpected: [...seen].flatMap(([message, received]) =>
      sends.has(message) && received.every(({ intact }) => intact) ? [] : [message],
    ),
    denied: [...seen.keys()].filter((message) => isDenied(sends.get(message) ?? [])).filter((id) => sends.has(id)),
    duplicates: again.duplicates,
    twoLeases: again.twoLeases,
    takenBack: takenBack(history, seen),
    outOfOrder: late.outOfOrder,
    excused: again.excused + late.excused,
    slow: [attempts, receives, history.frees].flat().filter((request) => isSlow(request, faults)).length,
    strange: history.strange,
  };
}

function countLevel(level: Level, sends: Map<number, Attempt[]>, seen: Map<number, Delivery[]>): LevelCounts {
  const counts: LevelCounts = { attempted: 0, acknowledged: 0, unknown: 0, lost: [] };
  for (const [message, sent] of sends) {
    if (sent[0]?.level !== level) continue;
    counts.attempted += 1;
    if (sent.some(({ answer }) => answer === 'done')) {
      counts.acknowledged += 1;
      if (!seen.has(message)) counts.lost.push(message);
    } else if (sent.some(({ answer }) => answer === 'unknown')) counts.unknown += 1;
  }
  return counts;
}

/** Does not count requests to a worker that was stopped or killed. */
const isSlow = ({ askedMs, answeredMs }: { askedMs: number; answeredMs: number }, faults: FaultWindow[]): boolean =>
  answeredMs - askedMs > SLOW_MS &&
  !faults.some((fault) => fault.kind === 'worker' && overlaps(fault, askedMs, answeredMs));

/**
 * The longest time without an acknowledged SEND to some queue, among requests after `fromMs`: how long service was
 * interrupted by a fault.
 */
export function longestSilence(attempts: Attempt[], fromMs: number, toMs: number): number {
  const silences = [...groupBy(attempts, ({ queue }) => queue).values()].map((ofQueue) => {
    const times = ofQueue
      .filter(({ answer, askedMs, answeredMs }) => answer === 'done' && askedMs >= fromMs && answeredMs <= toMs)
      .map(({ answeredMs }) => answeredMs)
      .sort((a, b) => a - b);
    return Math.max(...[...times, toMs].map((ms, i) => ms - (times[i - 1] ?? fromMs)));
  });
  return Math.max(0, ...silences);
}
