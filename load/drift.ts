// The samples of a soak, one per interval, and their drift: the last quarter compared with the second, as the first is warm-up.
import { latencyMs } from './tally.js';
import type { Row, Tally } from './tally.js';

export interface Sample {
  atSecond: number;
  perSecond: number;
  p50: number;
  p99: number;
  workerMb?: number | undefined;
  redisMb?: number | undefined;
}

/** @param interval the counts of the `seconds` before `atSecond` */
export type OnSample = (interval: Row, atSecond: number, seconds: number) => void;

export function startSampling(tally: Tally, everyS: number, onSample: OnSample): NodeJS.Timeout {
  const startMs = performance.now();
  let lastS = 0;
  return setInterval(() => {
    const atSecond = (performance.now() - startMs) / 1000;
    onSample(tally.takeInterval(), atSecond, atSecond - lastS);
    lastS = atSecond;
  }, everyS * 1000);
}

export const sampleOf = (interval: Row, atSecond: number, seconds: number): Sample => ({
  atSecond,
  perSecond: interval.requests / seconds,
  p50: latencyMs(interval, 50),
  p99: latencyMs(interval, 99),
});

export interface Drift {
  /** When the two quarters begin. */
  firstS: number;
  lastS: number;
  of: { name: string; from: number; to: number; unit: string }[];
  samples: Sample[];
}

const FEWEST = 4;
const FIGURES = [
  ['requests/s', 'perSecond', ''],
  ['p50', 'p50', ' ms'],
  ['p99', 'p99', ' ms'],
  ['worker', 'workerMb', ' MB'],
  ['Redis', 'redisMb', ' MB'],
] as const;

/** Undefined if there are too few samples. */
export function driftOf(samples: Sample[]): Drift | undefined {
  if (samples.length < FEWEST) return undefined;
  const quarter = samples.length >> 2;
  const [first, last] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)];
  const of = FIGURES.flatMap(([name, key, unit]) => {
    const [from, to] = [first, last].map((some) => mean(some.map((sample) => sample[key])));
    return from === undefined || to === undefined ? [] : [{ name, from, to, unit }];
  });
  const startOf = (some: Sample[]): number => Math.round(some[0]!.atSecond);
  return { firstS: startOf(first), lastS: startOf(last), of, samples };
}

function mean(numbers: (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0) / known.length;
}
