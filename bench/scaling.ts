// What a request costs as there are more workers, shards, queues, messages waiting, bytes of payload, connections.
import { drive } from './drive.js';
import { GOALS, atMost } from './goals.js';
import { fillQueues } from './memory.js';
import { paced } from './paced.js';
import { startCluster } from './replicated.js';
import { sendReceiveFree } from './requests.js';
import type { Dimension, Options, Row, ScalingRow } from './results.js';
import { startRedis, startWorker, stopAll, type HttpServer, type RedisServer } from './servers.js';
import { costOf, inRounds, ratios, stage, type Sample } from './stages.js';
import { CONNECTIONS, USUAL, cycles, deal, takeIds, type Load } from './traffic.js';

interface Variant {
  /** Of the dimension that is looked at, e.g. the number of queues. */
  value: number;
  worker: HttpServer;
  /** All that take the traffic. */
  redis: RedisServer[];
  load: Load;
  connections: number;
  /** Requests of each kind and round. */
  count: number;
  /** Requests per second; without it as many as can be. */
  rate?: number;
  /** First id of messages that wait already. */
  waiting?: number;
}

/** Variants, and what is to be stopped when they have been compared. */
interface Field {
  variants: Variant[];
  servers: (HttpServer | RedisServer)[];
}

type MakeField = (values: number[], count: number) => Promise<Field>;

/** Of each worker, requests per second: two cores carry four workers and their client. */
const RATE = 1_500;
const RATE_SECONDS = 2;
/** A rewrite of the append-only file would be in one variant's figures and not in another's. */
const NO_REWRITE = ['--auto-aof-rewrite-percentage', '0'];
/** First address of each set of queues: a worker shall not know them from the set before. */
const ADDRESSES_APART = 100_000;
const REQUESTS = ['send', 'recv', 'free'] as const;

const FIELDS: Record<Dimension, { values: number[]; make: MakeField }> = {
  workers: { values: [1, 2, 4], make: workers },
  workersAtRate: { values: [1, 2, 4], make: workersAtRate },
  shards: { values: [1, 2, 3], make: shards },
  queues: { values: [1, 100, 10_000], make: queues },
  waiting: { values: [0, 100_000, 1_000_000], make: waiting },
  payload: { values: [100, 1_000, 10_000], make: payload },
};

/** `ratio`: to the first value. Payload is the one dimension that need not be flat. */
export async function scaling({ quick, say }: Options): Promise<(ScalingRow & Row)[]> {
  const [rounds, count] = quick ? [3, 10_000] : [7, 20_000];
  const rows: (ScalingRow & Row)[] = [];
  for (const [name, { values, make }] of Object.entries(FIELDS)) {
    const dimension = name as Dimension;
    say(`${dimension}: ${values.join(', ')}`);
    const { variants, servers } = await make(values, count);
    const samples = await inTurns(variants, rounds);
    for (const [i, { value }] of variants.entries())
      for (const request of REQUESTS) {
        const of = (from: number): Sample[] => samples.map((round) => round[from]![request]);
        const ratio = ratios(of(i), of(0));
        const judged = dimension === 'payload' ? {} : atMost(ratio.both, GOALS.flat);
        rows.push({ dimension, value, request, ...costOf(of(i)), ratio, ...judged });
      }
    await stopAll(...servers);
  }
  return rows;
}

/** Every other round backwards: who comes second costs a few percent more, whoever it is. */
const inTurns = (variants: Variant[], rounds: number): Promise<Record<(typeof REQUESTS)[number], Sample>[][]> =>
  inRounds(rounds, async (round) => {
    const samples: Awaited<ReturnType<typeof once>>[] = [];
    const order = [...variants.keys()];
    for (const i of round % 2 === 0 ? order : order.reverse()) samples[i] = await once(variants[i]!);
    return samples;
  });

const once = ({ worker, redis, load, connections, waiting, rate, count }: Variant) =>
  sendReceiveFree(
    (requests) => stage(worker, redis, deal(requests, connections), count, rate === undefined ? drive : paced(rate)),
    count,
    load,
    waiting,
  );

/**
 * Each worker keeps its 64 connections, for with fewer it would have fewer commands in one packet to Redis; and each connection
 * as many requests, for with several workers it is taken by one process and handed to another.
 */
async function workers(values: number[], count: number): Promise<Field> {
  const redis = await startRedis(NO_REWRITE);
  const variants = await inTurn(values, async (value) => ({
    ...usual(value, count * value, await startWorker(redis, { settings: { AIZUMI_WORKERS: String(value) } }), redis),
    connections: CONNECTIONS * value,
  }));
  return { variants, servers: [...variants.map(({ worker }) => worker), redis] };
}

/**
 * At the same rate for each worker: as fast as they go, on few cores, four workers have less to do each than one, and so fewer
 * requests between two turns of the event loop, which makes each dearer.
 */
async function workersAtRate(values: number[]): Promise<Field> {
  const { variants, servers } = await workers(values, RATE * RATE_SECONDS);
  return { variants: variants.map((one) => ({ ...one, rate: RATE * one.value })), servers };
}

/** One Cluster of three primaries and one worker; the queues are on one, two or all three of them. */
async function shards(values: number[], count: number): Promise<Field> {
  const { nodes, url } = await startCluster(NO_REWRITE);
  const worker = await startWorker(nodes[0]!, { settings: { AIZUMI_REDIS_URL: url } });
  const slotsEach = Math.ceil(16_384 / nodes.length);
  const variants = await inTurn(values, async (value) => {
    const addresses: number[] = [];
    for (let address = ADDRESSES_APART * value; addresses.length < USUAL.addresses.length; address++) {
      const slot = await nodes[0]!.client.cluster('KEYSLOT', String(address));
      if (slot < slotsEach * value) addresses.push(address);
    }
    return { ...usual(value, count, worker, nodes), load: { ...USUAL, addresses } };
  });
  return { variants, servers: [worker, ...nodes] };
}

/** Several requests for each queue: what a worker knows of one lasts for 2 s. */
function queues(values: number[], count: number): Promise<Field> {
  return oneWorker(values, Math.max(count, 3 * Math.max(...values)), (value) => ({
    ...USUAL,
    addresses: Array.from({ length: value }, (_, i) => ADDRESSES_APART * value + i),
  }));
}

function payload(values: number[], count: number): Promise<Field> {
  return oneWorker(values, count, (value) => ({ ...USUAL, payloadLength: value }));
}

/** In one queue: nothing is deeper. */
async function waiting(values: number[], count: number): Promise<Field> {
  const load = { ...USUAL, addresses: [ADDRESSES_APART] };
  const variants = await inTurn(values, async (value): Promise<Variant> => {
    const redis = await startRedis(NO_REWRITE);
    const worker = await startWorker(redis, { settings: { AIZUMI_MAX_QUEUE_LENGTH: '10000000' } });
    const variant = { ...usual(value, count, worker, redis), load };
    return value === 0 ? variant : { ...variant, waiting: await fillQueues(redis, worker, value, load) };
  });
  return { variants, servers: variants.flatMap(({ worker, redis }) => [worker, ...redis]) };
}

async function oneWorker(values: number[], count: number, loadOf: (value: number) => Load): Promise<Field> {
  const redis = await startRedis(NO_REWRITE);
  const worker = await startWorker(redis);
  const variants = values.map((value) => ({ ...usual(value, count, worker, redis), load: loadOf(value) }));
  return { variants, servers: [worker, redis] };
}

function usual(value: number, count: number, worker: HttpServer, redis: RedisServer | RedisServer[]): Variant {
  return { value, count, worker, redis: [redis].flat(), load: USUAL, connections: CONNECTIONS };
}

async function inTurn<T>(values: number[], make: (value: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (const value of values) made.push(await make(value));
  return made;
}

/** Throughput and latency. Of `cycle`, all is per whole cycle but the latencies, which are of its single requests. */
export async function connections({ quick, say }: Options): Promise<Row[]> {
  const redis = await startRedis();
  const worker = await startWorker(redis);
  const rows: Row[] = [];
  for (const count of [1, 4, 16, 64, 256]) {
    say(`${count} connections`);
    // a multiple of 256 and of 100 addresses: every connection has as much to say
    const requests = 6_400 * (count === 1 || quick ? 1 : 4);
    const { send, recv, free } = await sendReceiveFree((some) => stage(worker, redis, deal(some, count)), requests);
    const cycle = await stage(worker, redis, cycles(requests, takeIds(requests), count), requests);
    const all = { send, recv, free, cycle: { ...cycle, perSecond: cycle.perSecond / 3 } };
    for (const [request, sample] of Object.entries(all))
      rows.push({ request, connections: count, ...costOf([sample]) });
  }
  await stopAll(worker, redis);
  return rows;
}
