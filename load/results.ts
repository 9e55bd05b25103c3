// What was measured, as load/results.json keeps it: `npm run load:measure -- PART…` writes a part, `npm run load:report` draws it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Where, when and how a part was measured. */
export interface Provenance {
  /** ISO 8601 */
  at: string;
  commit: string;
  command: string;
  /** e.g. `2 cores AMD EPYC, Node 20.20.2, Redis 7.0.15` */
  machine: string;
}

/** CPU times are user + system of the whole process tree per request or message, µs; latencies ms. */
export interface Cost {
  workerMicros: number;
  redisMicros: number;
  perSecond: number;
  p50: number;
  p99: number;
}

/** The median, over rounds, of a CPU time divided by what the base cost in the same round. */
export interface Ratios {
  worker: number;
  redis: number;
  both: number;
}

export interface Rows {
  /**
   * One worker and the floor (bench/floor.mjs) in turns: 64 connections, 100 queues, payloads of 100 bytes. `ratio`: to the floor.
   * `joinedFloor`: the same, its writes to Redis joined as the worker joins its own.
   */
  costs: (Cost & { request: 'floor' | 'joinedFloor' | 'send' | 'recv' | 'free'; ratio: Ratios })[];
  /** Throughput and latency over connections, and over a share of the saturation rate. */
  connections: (Cost & { request: 'send' | 'recv' | 'free' | 'cycle'; connections: number })[];
  /** p50 and p99 at a fixed rate, as a share of what the worker can do. */
  halfLoad: { request: string; shareOfSaturation: number; perSecond: number; p50: number; p99: number }[];
  scenarios: (Cost & { scenario: string; variant: string; requests: number })[];
  /** `ratio`: to the dimension's first value. */
  scaling: (Cost & { dimension: Dimension; value: number; request: 'send' | 'recv' | 'free'; ratio: Ratios })[];
  /** Per message that went all the way: sent, received, freed. systemMicros: all processes but the client's own. */
  peers: {
    system: string;
    version: string;
    /** What is the same work there, and what is not: shown beside the figures. */
    work: string;
    durability: 'none' | 'fsync';
    systemMicros: number;
    /** Of which in the broker or data store, and in what speaks HTTP or the library in the client's process. */
    parts: Record<string, number>;
    perSecond: number;
    /** From a message's way out to its acknowledgement, sent one after another; left out where that was not measured. */
    p50?: number;
    p99?: number;
  }[];
  /** Redis memory for waiting messages. */
  memory: { payloadBytes: number; messages: number; bytesPerMessage: number; queues: number }[];
  /** A soak's samples. */
  soak: { atSecond: number; perSecond: number; p50: number; p99: number; workerMb: number; redisMb: number }[];
}

/** workers (1, 2, 4), as fast as they go and each at one rate; shards of a Cluster (1, 2, 3), queues (1 … 10,000), messages waiting (0 … 1,000,000), bytes of payload. */
export type Dimension = 'workers' | 'workersAtRate' | 'shards' | 'queues' | 'waiting' | 'payload';

export type PartName = keyof Rows;
export type Part<Name extends PartName> = Provenance & { rows: Rows[Name] };
export type Results = { [Name in PartName]?: Part<Name> };

const FILE = new URL('./results.json', import.meta.url);

export const readResults = (): Results => (existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : {});

export function writePart<Name extends PartName>(name: Name, part: Part<Name>): void {
  writeFileSync(FILE, `${JSON.stringify({ ...readResults(), [name]: part }, undefined, 1)}\n`);
}
