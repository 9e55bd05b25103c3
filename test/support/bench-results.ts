// Results of a benchmark as they might be, of the parts that the capacity model reads. Nothing here was measured.
import type { Cost, Dimension, Provenance, Ratios, Results, ScalingRow } from '../../bench/results.js';

const provenance: Provenance = {
  at: '2026-01-02T03:04:05.678Z',
  commit: 'abc1234',
  command: 'npm run bench -- invented',
  machine: '8 cores of <an invented> & fast machine; Node v20.19.0, Redis 7.0.15',
};

const ratio = (both: number): Ratios => ({ worker: both, redis: both, both });
const cost = (workerMicros: number, redisMicros: number, p50 = 2, p99 = 4.5): Cost => ({
  workerMicros,
  redisMicros,
  perSecond: 900_000 / (workerMicros + redisMicros),
  p50,
  p99,
});
const part = <T>(rows: T): Provenance & { rows: T } => ({ ...provenance, rows });

const REQUESTS = [
  ['send', 27, 5],
  ['recv', 31, 19],
  ['free', 24, 12],
] as const;

const scaled = (dimension: Dimension, values: [value: number, times: number][]): ScalingRow[] =>
  values.flatMap(([value, times]) =>
    REQUESTS.map(([request, worker, redis]) => ({
      dimension,
      value,
      request,
      ...cost(worker * times, redis * times),
      ...(dimension === 'workersAtRate' ? { perSecond: 1_500 * value } : {}),
      ratio: ratio(times),
    })),
  );

/** All that the capacity model needs. */
export const inventedResults = (): Required<Pick<Results, 'costs' | 'scaling' | 'memory'>> => ({
  costs: part([
    { request: 'floor', ...cost(22, 5), ratio: ratio(1) },
    { request: 'joinedFloor', ...cost(17, 4.6), ratio: ratio(0.77) },
    ...REQUESTS.map(([request, worker, redis]) => ({ request, ...cost(worker, redis), ratio: ratio(worker / 22) })),
  ]),
  scaling: part([
    ...scaled('workers', [
      [1, 1],
      [2, 1.03],
      [4, 1.08],
    ]),
    ...scaled('workersAtRate', [
      [1, 1],
      [2, 1.03],
      [4, 1.08],
    ]),
    ...scaled('shards', [
      [1, 1],
      [2, 1.06],
      [3, 1.12],
    ]),
    ...scaled('queues', [
      [1, 1],
      [100, 1.01],
      [10_000, 1.31],
    ]),
    ...scaled('waiting', [
      [0, 1],
      [100_000, 1.01],
      [1_000_000, 1.02],
    ]),
    ...scaled('payload', [
      [100, 1],
      [1_000, 1.1],
      [10_000, 2],
    ]),
  ]),
  memory: part(
    [100, 1_000, 10_000].flatMap((payloadBytes) =>
      [1, 100, 10_000].map((queues) => ({
        payloadBytes,
        queues,
        messages: 100_000,
        bytesPerMessage: payloadBytes * 1.02 + 38 + queues * 0.045,
      })),
    ),
  ),
});
