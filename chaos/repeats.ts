// Deliveries of what was freed, and of what somebody else holds.
import { groupBy, overlaps } from './history.js';
import type { Attempt, Delivery, FaultWindow, History } from './history.js';

/** Redis's clock counts whole milliseconds; it and this process's clock are of one machine. */
const TOLERANCE_MS = 5;

/** Deliveries after the first one that neither the end of a lease nor a fault explains. */
export function repeats(
  { frees, faults, leaseMs }: History,
  sends: Map<number, Attempt[]>,
  seen: Map<number, Delivery[]>,
): { duplicates: number[]; twoLeases: number[]; excused: number } {
  const freed = groupBy(
    frees.filter(({ answer }) => answer === 'done'),
    ({ message }) => message,
  );
  const during = (kinds: FaultWindow['kind'][], fromMs: number, toMs: number): boolean =>
    faults.some((fault) => kinds.includes(fault.kind) && overlaps(fault, fromMs, toMs));
  const found = { duplicates: [] as number[], twoLeases: [] as number[], excused: 0 };
  for (const [message, received] of seen) {
    const inTime = received.toSorted((a, b) => a.askedMs - b.askedMs);
    for (const [i, later] of inTime.slice(1).entries()) {
      const before = inTime[i] as Delivery;
      // a lease begins between question and answer, so it lives at least until this:
      const leasedUntil = before.askedMs + leaseMs - TOLERANCE_MS;
      const freeBefore = freed.get(message)?.findLast(({ answeredMs }) => answeredMs < later.askedMs);
      if (!freeBefore && later.answeredMs >= leasedUntil) continue;
      const sentFirst = sends.get(message)?.[0]?.askedMs ?? 0;
      const sentLast = sends.get(message)?.at(-1)?.answeredMs ?? 0;
      const isExcused =
        during(['failover'], (freeBefore ?? before).askedMs, later.answeredMs) ||
        (freeBefore
          ? // sent, freed, forgotten, sent again
            during(['ahead', 'back'], sentFirst, sentLast) && (sends.get(message)?.length ?? 0) > 1
          : during(['ahead'], before.askedMs, later.answeredMs));
      if (isExcused) found.excused += 1;
      else (freeBefore ? found.duplicates : found.twoLeases).push(message);
    }
  }
  return found;
}
