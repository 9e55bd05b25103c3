// A soak's samples, and what of them drifts: the last quarter beside the second, for the first is still warming up.
import type { Sample } from './samples.js';

export type SoakSample = Sample & { workerMb?: number | undefined; redisMb?: number | undefined };

export interface Drift {
  /** Where the two quarters begin. */
  firstS: number;
  lastS: number;
  of: { name: string; from: number; to: number; unit: string }[];
  samples: SoakSample[];
}

const FEWEST = 4;
const FIGURES = [
  ['requests/s', 'perSecond', ''],
  ['p50', 'p50', ' ms'],
  ['p99', 'p99', ' ms'],
  ['worker', 'workerMb', ' MB'],
  ['Redis', 'redisMb', ' MB'],
] as const;

/** Undefined where there are too few samples to say. */
export function driftOf(samples: SoakSample[]): Drift | undefined {
  if (samples.length < FEWEST) return undefined;
  const quarter = samples.length >> 2;
  const [first, last] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)];
  const of = FIGURES.flatMap(([name, key, unit]) => {
    const [from, to] = [first, last].map((some) => mean(some.map((sample) => sample[key])));
    return from === undefined || to === undefined ? [] : [{ name, from, to, unit }];
  });
  const startOf = (some: SoakSample[]): number => Math.round(some[0]!.atSecond);
  return { firstS: startOf(first), lastS: startOf(last), of, samples };
}

function mean(numbers: (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0) / known.length;
}
