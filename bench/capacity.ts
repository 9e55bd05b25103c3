// The capacity model: what a deployment needs, from what was measured. docs/capacity.md explains it.
// npx tsx bench/capacity.ts --per-second 10000 --bytes 1000 --backlog 1000000 --queues 100
import { parseArgs } from 'node:util';
import { readResults, type Cost, type Dimension, type MemoryRow, type Results, type ScalingRow } from './results.js';

export interface Demand {
  /** Messages that are sent, received and freed, each in a request of its own, at the busiest time. */
  perSecond: number;
  payloadBytes: number;
  /** Messages that wait at the worst time, over all queues. */
  backlog: number;
  queues: number;
}

/** What is not measured but decided, or known only of one's own machines. */
export interface Assumptions {
  /** Of a core at the busiest time: a worker, and a Redis, is one thread. */
  busyShare: number;
  /** Of a Redis node. */
  nodeBytes: number;
  /** Over what messages take: fragmentation, buffers, and pages copied while the append-only file is rewritten. */
  memoryFactor: number;
  /** HTTP heads and JSON of the three requests and replies; what Redis's protocol adds to the payloads. */
  clientOverheadBytes: number;
  redisOverheadBytes: number;
}

export const ASSUMED: Assumptions = {
  busyShare: 0.6,
  nodeBytes: 16e9,
  memoryFactor: 2,
  clientOverheadBytes: 1_400,
  redisOverheadBytes: 950,
};

export interface Plan {
  /** Cores fully used; `workers` has the headroom in it. */
  workerCores: number;
  workers: number;
  redisCores: number;
  shards: number;
  /** Of all shards; as much again for each replica. */
  redisBytes: number;
  /** Clients to workers, and workers to Redis, both directions, Mbit/s. */
  clientMbits: number;
  redisMbits: number;
}

interface Micros {
  worker: number;
  redis: number;
}

/** µs per message, and factors on them; bytes. */
export interface Measured {
  cycle: Micros;
  perKb: Micros;
  /** Factors, never below 1: what costs more than with one worker, one Redis, 100 queues, nothing waiting. */
  manyWorkers: Micros;
  cluster: Micros;
  manyQueues: Micros;
  backlog: Micros;
  memoryPoints: { payloadBytes: number; bytes: number }[];
  bytesPerQueue: number;
}

export const NEEDED = ['costs', 'scaling', 'memory'] as const;
const FLOORS = ['floor', 'joinedFloor'];
const DIMENSIONS: Dimension[] = ['workers', 'workersAtRate', 'shards', 'queues', 'waiting', 'payload'];

/** @returns undefined when a part that it {@link NEEDED} was not measured */
export function measured({ costs, scaling, memory }: Results): Measured | undefined {
  if (!costs || !scaling || !memory) return undefined;
  const { rows } = scaling;
  if (DIMENSIONS.some((name) => !rows.some((row) => row.dimension === name))) return undefined;
  const dimension = (name: Dimension): ScalingRow[] => rows.filter((row) => row.dimension === name);
  const at = (name: Dimension, value: number): Micros => sum(dimension(name).filter((row) => row.value === value));
  const [least, most] = [Math.min, Math.max].map(
    (pick) => (name: Dimension) => pick(...dimension(name).map(({ value }) => value)),
  ) as [(name: Dimension) => number, (name: Dimension) => number];
  const over = (one: Micros, base: Micros): Micros => each((part) => Math.max(1, one[part] / base[part]));
  const grown = (name: Dimension, from = least(name)): Micros => over(at(name, most(name)), at(name, from));
  const kb = (most('payload') - least('payload')) / 1_000;
  const [large, small] = [at('payload', most('payload')), at('payload', least('payload'))];
  return {
    cycle: sum(costs.rows.filter(({ request }) => !FLOORS.includes(request))),
    perKb: each((part) => Math.max(0, (large[part] - small[part]) / kb)),
    manyWorkers: grown('workersAtRate'),
    cluster: over(at('shards', most('shards')), at('workers', 1)),
    manyQueues: grown('queues', 100),
    backlog: grown('waiting'),
    ...memoryOf(memory.rows),
  };
}

/** @param costs from {@link measured} */
export function plan(costs: Measured, demand: Demand, assumed: Assumptions = ASSUMED): Plan {
  const { perSecond, payloadBytes, backlog, queues } = demand;
  const redisBytes =
    (backlog * bytesPerMessage(costs, payloadBytes) + queues * costs.bytesPerQueue) * assumed.memoryFactor;
  const needed = (factors: Micros[]): Micros =>
    each((part) => {
      const micros = costs.cycle[part] + (costs.perKb[part] * payloadBytes) / 1_000;
      return (perSecond * factors.reduce((product, factor) => product * factor[part], micros)) / 1e6;
    });
  const count = (cores: number): number => Math.max(1, Math.ceil(cores / assumed.busyShare));
  const factors = [...(queues > 100 ? [costs.manyQueues] : []), ...(backlog > 0 ? [costs.backlog] : [])];

  let cores = needed(factors);
  if (count(cores.worker) > 1) factors.push(costs.manyWorkers);
  cores = needed(factors);
  const nodes = Math.ceil(redisBytes / assumed.nodeBytes);
  if (Math.max(nodes, count(cores.redis)) > 1) factors.push(costs.cluster);
  cores = needed(factors);
  const mbits = (overhead: number): number => (perSecond * (2 * payloadBytes + overhead) * 8) / 1e6;
  return {
    workerCores: cores.worker,
    workers: count(cores.worker),
    redisCores: cores.redis,
    shards: Math.max(nodes, count(cores.redis)),
    redisBytes,
    clientMbits: mbits(assumed.clientOverheadBytes),
    redisMbits: mbits(assumed.redisOverheadBytes),
  };
}

/** Between two sizes that were measured, and beyond the last two: a straight line. */
export function bytesPerMessage({ memoryPoints }: Pick<Measured, 'memoryPoints'>, payloadBytes: number): number {
  const after = memoryPoints.findIndex((point) => point.payloadBytes >= payloadBytes);
  const i = Math.max(1, after < 0 ? memoryPoints.length - 1 : after);
  const [from, to] = [memoryPoints[i - 1]!, memoryPoints[i]!];
  const slope = (to.bytes - from.bytes) / (to.payloadBytes - from.payloadBytes);
  return from.bytes + slope * (payloadBytes - from.payloadBytes);
}

/** A message's own from the fewest queues; a queue's from what the most queues take more, with small payloads. */
function memoryOf(rows: MemoryRow[]): Pick<Measured, 'memoryPoints' | 'bytesPerQueue'> {
  const counts = rows.map(({ queues }) => queues);
  const with_ = (queues: number): MemoryRow[] =>
    rows.filter((row) => row.queues === queues).sort((a, b) => a.payloadBytes - b.payloadBytes);
  const [few, many] = [with_(Math.min(...counts)), with_(Math.max(...counts))];
  const perQueue = many.map((row, i) => {
    const base = few[i]!;
    return ((row.bytesPerMessage - base.bytesPerMessage) * row.messages) / (row.queues - base.queues);
  });
  return {
    memoryPoints: few.map(({ payloadBytes, bytesPerMessage: bytes }) => ({ payloadBytes, bytes })),
    bytesPerQueue: Math.max(0, ...perQueue),
  };
}

function sum(rows: Cost[]): Micros {
  const total = (field: 'workerMicros' | 'redisMicros'): number => rows.reduce((micros, row) => micros + row[field], 0);
  return { worker: total('workerMicros'), redis: total('redisMicros') };
}

const each = (make: (part: keyof Micros) => number): Micros => ({ worker: make('worker'), redis: make('redis') });

function main(): void {
  const { values } = parseArgs({
    options: {
      'per-second': { type: 'string', default: '10000' },
      bytes: { type: 'string', default: '1000' },
      backlog: { type: 'string', default: '1000000' },
      queues: { type: 'string', default: '100' },
    },
  });
  const costs = measured(readResults());
  if (!costs) throw new Error(`not measured yet: npm run bench -- ${NEEDED.join(' ')}`);
  const demand = {
    perSecond: Number(values['per-second']),
    payloadBytes: Number(values.bytes),
    backlog: Number(values.backlog),
    queues: Number(values.queues),
  };
  const bad = Object.entries(demand).find(([, value]) => !Number.isFinite(value) || value < 0);
  if (bad) throw new Error(`${bad[0]} must be a number from 0`);
  console.log(plan(costs, demand));
}

if (process.argv[1] === import.meta.filename) main();
