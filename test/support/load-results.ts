// Results of a load measurement as they might be, every part of them: for tests of the report. Nothing here was measured.
import type { Cost, Dimension, Provenance, Ratios, Results, Rows } from '../../load/results.js';

const provenance: Provenance = {
  at: '2026-01-02T03:04:05.678Z',
  commit: 'abc1234',
  command: 'npm run load:measure -- invented',
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

const scaled = (dimension: Dimension, values: [value: number, times: number][]): Rows['scaling'] =>
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

const scenario = (name: string, variant: string, worker: number, redis: number, p50 = 2, p99 = 5) => ({
  scenario: name,
  variant,
  requests: 120_000,
  ...cost(worker, redis, p50, p99),
});

const peer = (
  system: string,
  durability: 'none' | 'fsync',
  parts: Record<string, number>,
  p50: number,
): Rows['peers'][number] => ({
  system,
  version: '1.2.3',
  work: 'sent, received, acknowledged',
  durability,
  parts,
  systemMicros: Object.values(parts).reduce((sum, value) => sum + value, 0),
  perSecond: 9_000,
  p50,
  p99: p50 * 2.5,
});

/** All parts. */
export const inventedResults = (): Required<Results> => ({
  costs: part([
    { request: 'floor' as const, ...cost(22, 5), ratio: ratio(1) },
    { request: 'joinedFloor' as const, ...cost(17, 4.6), ratio: ratio(0.77) },
    ...REQUESTS.map(([request, worker, redis]) => ({ request, ...cost(worker, redis), ratio: ratio(worker / 22) })),
  ]),
  connections: part(
    REQUESTS.flatMap(([request, worker, redis], i) =>
      [1, 4, 16, 64, 256].map((connections) => ({
        request,
        connections,
        ...cost(worker, redis, 0.3 + connections / 25 + i / 5, 0.6 + connections / 9 + i / 3),
        perSecond: (31_000 - 4_000 * i) * (connections / (connections + 6)),
      })),
    ),
  ),
  halfLoad: part(
    ['send', 'cycle'].flatMap((request, i) =>
      [0.25, 0.5, 0.75, 0.9].map((share) => ({
        request,
        shareOfSaturation: share,
        perSecond: 30_000 * share,
        p50: 0.4 + i / 5 + share / 3,
        p99: 0.9 + i / 2 + 2 * share * share,
      })),
    ),
  ),
  scenarios: part([
    scenario('send', '', 27, 5),
    scenario('receive and free', '', 28, 16),
    scenario('cycle', '', 28, 12),
    scenario('producers and consumers', '48 to 16', 29, 13),
    scenario('queues', 'one', 28, 12),
    scenario('queues', '10,000', 33, 14),
    scenario('payload', '100 B', 27, 5),
    scenario('payload', '10 KB', 55, 14, 4, 9),
    scenario('payload', '200 KB', 610, 140, 55, 130),
    scenario('batches', 'of 100', 10, 3, 8, 17),
    scenario('long poll', 'wake-up', 64, 33, 1.2, 7),
    scenario('durability', 'quorum', 32, 9, 2.9, 6),
    scenario('slow consumers', '1,000,000 waiting', 29, 13),
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
  peers: part([
    peer('aizumi', 'fsync', { 'HTTP server': 82, 'data store': 36 }, 2.1),
    peer('RabbitMQ, HTTP API', 'fsync', { broker: 900 }, 9),
    peer('BullMQ', 'fsync', { library: 140, 'data store': 110 }, 3),
    peer('beanstalkd', 'fsync', { broker: 14 }, 0.4),
    peer('aizumi', 'none', { 'HTTP server': 80, 'data store': 30 }, 1.8),
    peer('floor', 'none', { 'HTTP server': 66, 'data store': 16 }, 1.2),
    peer('NATS JetStream', 'none', { broker: 30 }, 0.5),
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
  soak: part(
    Array.from({ length: 61 }, (_, i) => ({
      atSecond: i * 10,
      perSecond: 9_000 + (i % 7) * 30,
      p50: 2 + (i % 5) / 20,
      p99: 4.6 + (i % 4) / 5,
      workerMb: 118 + Math.min(i, 12) + (i % 6),
      redisMb: 21 + (i % 3) / 4,
    })),
  ),
});
