// Deliveries of what was freed, and of what somebody else holds.
import { groupBy, overlaps } from './history.js';
import type { Delivery, FaultWindow, History } from './history.js';

/** Redis's clock counts whole milliseconds; it and this process's clock are of one machine. */
const TOLERANCE_MS = 5;

/** Deliveries after the first one that neither the end of a lease nor a fail-over explains. */
export function repeats(
  { frees, leaseMs }: History,
  seen: Map<number, Delivery[]>,
  failovers: FaultWindow[],
): { duplicates: number[]; twoLeases: number[]; excused: number } {
  const freed = groupBy(
    frees.filter(({ answer }) => answer === 'done'),
    ({ message }) => message,
  );
  const found = { duplicates: [] as number[], twoLeases: [] as number[], excused: 0 };
  for (const [message, received] of seen) {
    const inTime = received.toSorted((a, b) => a.askedMs - b.askedMs);
    for (const [i, later] of inTime.slice(1).entries()) {
      const before = inTime[i] as Delivery;
      // a lease begins between question and answer, so it lives at least until this:
      const leasedUntil = before.askedMs + leaseMs - TOLERANCE_MS;
      const freeBefore = freed.get(message)?.findLast(({ answeredMs }) => answeredMs < later.askedMs);
      if (!freeBefore && later.answeredMs >= leasedUntil) continue;
      const fromMs = (freeBefore ?? before).askedMs;
      if (failovers.some((fault) => overlaps(fault, fromMs, later.answeredMs))) found.excused += 1;
      else (freeBefore ? found.duplicates : found.twoLeases).push(message);
    }
  }
  return found;
}
