// Throughput and latency of a run, an interval at a time.
import { latencyMs } from './tally.js';
import type { Row, Tally } from './tally.js';

export interface Sample {
  atSecond: number;
  perSecond: number;
  p50: number;
  p99: number;
}

/** @param interval what came in the `seconds` before `atSecond` */
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
