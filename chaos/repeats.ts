// Finds deliveries of messages that were freed, or that another receiver holds.
import { groupBy, overlaps } from './history.js';
import type { Attempt, Delivery, FaultWindow, History } from './history.js';

/** Tolerance: Redis's clock counts whole milliseconds; it is the clock of this machine. */
const TOLERANCE_MS = 5;

/** A lease begins between request and reply, so it lasts at least until this time. */
const leasedUntil = ({ sinceMs, askedMs }: Delivery, leaseMs: number): number =>
  (sinceMs ?? askedMs) + leaseMs - TOLERANCE_MS;

const during = (faults: FaultWindow[], kinds: FaultWindow['kind'][], fromMs: number, toMs: number): boolean =>
  faults.some((fault) => kinds.includes(fault.kind) && overlaps(fault, fromMs, toMs));

/**
 * Messages that were delivered and then taken back: the FREE was refused during the lease, and no other client of the address
 * had freed them by id.
 */
export function takenBack({ frees, faults, leaseMs }: History, seen: Map<number, Delivery[]>): number[] {
  return frees.flatMap((free) => {
    const delivery = seen.get(free.message)?.find(({ receipt }) => receipt !== undefined && receipt === free.receipt);
    if (!free.leaseLost || !delivery || free.answeredMs >= leasedUntil(delivery, leaseMs)) return [];
    const isFreed = frees.some(
      ({ message, answer, askedMs }) => message === free.message && answer !== 'refused' && askedMs < free.answeredMs,
    );
    const isExcused = during(faults, ['failover', 'ahead'], delivery.sinceMs ?? delivery.askedMs, free.answeredMs);
    return isFreed || isExcused ? [] : [free.message];
  });
}

/** Redeliveries that neither the end of a lease nor a fault explains. */
export function repeats(
  { frees, faults, leaseMs }: History,
  sends: Map<number, Attempt[]>,
  seen: Map<number, Delivery[]>,
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
      const freeBefore = freed.get(message)?.findLast(({ answeredMs }) => answeredMs < later.askedMs);
      if (!freeBefore && later.answeredMs >= leasedUntil(before, leaseMs)) continue;
      const sentFirst = sends.get(message)?.[0]?.askedMs ?? 0;
      const sentLast = sends.get(message)?.at(-1)?.answeredMs ?? 0;
      const isExcused =
        during(faults, ['failover'], (freeBefore ?? before).askedMs, later.answeredMs) ||
        (freeBefore
          ? // sent, freed, no longer deduplicated, sent again
            during(faults, ['ahead', 'back'], sentFirst, sentLast) && (sends.get(message)?.length ?? 0) > 1
          : during(faults, ['ahead'], before.askedMs, later.answeredMs));
      if (isExcused) found.excused += 1;
      else (freeBefore ? found.duplicates : found.twoLeases).push(message);
    }
  }
  return found;
}
