// Computes how fast a queue's counters grow, from two samples of them. Pure.

/** Counters that only grow while the queue lives, and when they were read, ms since 1970 by Redis's clock. */
export interface Counters {
  at: number;
  sent: number;
  /** First deliveries; -1: unknown. */
  received: number;
  gone: number;
}

/** Per second; null: not known yet. */
export interface Rates {
  send: number | null;
  receive: number | null;
  free: number | null;
  /** The time over which they are averaged, ms. */
  overMs: number | null;
}

/** A sample of this age is replaced, ms; until then rates are computed from the one before it. */
export const SAMPLE_MS = 10_000;
/** No rate is returned for a shorter time, ms. */
const LEAST_MS = 1_000;

const UNKNOWN: Rates = { send: null, receive: null, free: null, overMs: null };

/** @returns the rates since the youngest sample that is old enough, and the sample to store, if it is a new one */
export function ratesOf(
  now: Counters,
  sample: Readonly<Record<string, number>>,
): { rates: Rates; keep: Record<string, number> | undefined } {
  const last = countersIn(sample, '');
  // no sample yet, or a sample of a queue that was removed meanwhile, or the clock was set back
  if (!last || now.at < last.at || now.sent < last.sent) return { rates: UNKNOWN, keep: { ...now } };
  if (now.at - last.at < SAMPLE_MS)
    return { rates: growth(countersIn(sample, 'before_') ?? last, now), keep: undefined };
  const before = Object.fromEntries(Object.entries(last).map(([name, value]) => [`before_${name}`, value]));
  return { rates: growth(last, now), keep: { ...now, ...before } };
}

function countersIn(sample: Readonly<Record<string, number>>, prefix: string): Counters | undefined {
  const [at, sent, received, gone] = ['at', 'sent', 'received', 'gone'].map((name) => sample[prefix + name]);
  return at === undefined || sent === undefined || received === undefined || gone === undefined
    ? undefined
    : { at, sent, received, gone };
}

function growth(from: Counters, to: Counters): Rates {
  const overMs = to.at - from.at;
  if (overMs < LEAST_MS) return UNKNOWN;
  const perSecond = (more: number): number => Math.round((Math.max(0, more) * 1e6) / overMs) / 1e3;
  return {
    send: perSecond(to.sent - from.sent),
    receive: to.received < 0 || from.received < 0 ? null : perSecond(to.received - from.received),
    free: perSecond(to.gone - from.gone),
    overMs,
  };
}
