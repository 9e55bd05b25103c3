// npm run load:measure -- scaling: what a request costs as there are more workers, shards, queues, messages waiting, bytes.
import { startCluster } from '../bench/replicated.js';
import { fillQueues } from '../bench/memory.js';
import { startRedis, startWorker, type HttpServer, type RedisServer } from '../bench/servers.js';
import { CONNECTIONS, USUAL, type Load } from '../bench/traffic.js';
import { PROGRAM, REDIS_CONF, type Measure } from './measuring.js';
import type { Dimension, Rows } from './results.js';
import { compare, type Variant } from './rounds.js';

/** Of each worker, requests per second: two cores carry four workers and their client. */
const RATE = 1_500;
/** So long is a stage at that rate. */
const RATE_SECONDS = 2;

const FULL = { rounds: 7, count: 20_000 };
const QUICK = { rounds: 3, count: 10_000 };

const VALUES: Record<Dimension, number[]> = {
  workers: [1, 2, 4],
  workersAtRate: [1, 2, 4],
  shards: [1, 2, 3],
  queues: [1, 100, 10_000],
  waiting: [0, 100_000, 1_000_000],
  payload: [100, 1_000, 10_000],
};

/** A rewrite of the append-only file would be in one variant's figures and not in another's. */
const NO_REWRITE = ['--auto-aof-rewrite-percentage', '0'];
/** First address of each set of queues: a worker shall not know them from the set before. */
const ADDRESSES_APART = 100_000;

/** Variants, and what is to be stopped when they have been compared. */
interface Field {
  variants: Variant[];
  servers: (HttpServer | RedisServer)[];
}

const FIELDS: Record<Dimension, (values: number[], count: number) => Promise<Field>> = {
  workers,
  workersAtRate,
  shards,
  queues,
  waiting,
  payload,
};

const scaling: Measure<'scaling'> = async ({ quick, say }) => {
  const { rounds, count } = quick ? QUICK : FULL;
  const rows: Rows['scaling'] = [];
  for (const [name, values] of Object.entries(VALUES)) {
    const dimension = name as Dimension;
    say(`${dimension}: ${values.join(', ')}`);
    const { variants, servers } = await FIELDS[dimension](values, count);
    rows.push(...(await compare(variants, rounds, count)).map((row) => ({ dimension, ...row })));
    for (const server of servers) await server.stop();
  }
  return rows;
};

export const parts = { scaling };

/**
 * Each worker keeps its 64 connections, for with fewer it would have fewer commands in one packet to Redis; and each connection
 * as many requests, for with several workers it is taken by one process and handed to another.
 */
async function workers(values: number[], count: number, name = 'workers'): Promise<Field> {
  const redis = await startRedis(`scaling-${name}`, REDIS_CONF, NO_REWRITE);
  const variants = await inTurn(values, async (value) => ({
    ...usual(value, await startWorker(PROGRAM, redis, { AIZUMI_WORKERS: String(value) }), redis),
    connections: CONNECTIONS * value,
    count: count * value,
  }));
  return { variants, servers: [...variants.map(({ worker }) => worker), redis] };
}

/**
 * At the same rate for each worker: as fast as they go, on few cores, four workers have less to do each than one, and so fewer
 * requests between two turns of the event loop, which makes each dearer.
 */
async function workersAtRate(values: number[]): Promise<Field> {
  const { variants, servers } = await workers(values, RATE * RATE_SECONDS, 'workers-at-rate');
  return { variants: variants.map((one) => ({ ...one, rate: RATE * one.value })), servers };
}

/** One Cluster of three primaries and one worker; the queues are on one, two or all three of them. */
async function shards(values: number[]): Promise<Field> {
  const { nodes, url } = await startCluster(REDIS_CONF, NO_REWRITE);
  const worker = await startWorker(PROGRAM, nodes[0]!, { AIZUMI_REDIS_URL: url });
  const slotsEach = Math.ceil(16_384 / nodes.length);
  const variants = await inTurn(values, async (value) => {
    const addresses: number[] = [];
    for (let address = ADDRESSES_APART * value; addresses.length < USUAL.addresses.length; address++) {
      const slot = await nodes[0]!.client.cluster('KEYSLOT', String(address));
      if (slot < slotsEach * value) addresses.push(address);
    }
    return { ...usual(value, worker, nodes), load: { ...USUAL, addresses } };
  });
  return { variants, servers: [worker, ...nodes] };
}

/** Several requests for each queue: what a worker knows of one lasts for 2 s. */
async function queues(values: number[], count: number): Promise<Field> {
  const loadOf = (value: number): Load => ({ ...USUAL, addresses: addresses(value, ADDRESSES_APART * value) });
  const { variants, servers } = await oneWorker('queues', values, loadOf);
  const each = Math.max(count, 3 * Math.max(...values));
  return { variants: variants.map((one) => ({ ...one, count: each })), servers };
}

async function payload(values: number[]): Promise<Field> {
  return oneWorker('payload', values, (value) => ({ ...USUAL, payloadLength: value }));
}

/** In one queue: nothing is deeper. */
async function waiting(values: number[]): Promise<Field> {
  const load = { ...USUAL, addresses: addresses(1, ADDRESSES_APART) };
  const variants = await inTurn(values, async (value): Promise<Variant> => {
    const redis = await startRedis(`scaling-waiting-${value}`, REDIS_CONF, NO_REWRITE);
    const worker = await startWorker(PROGRAM, redis, { AIZUMI_MAX_QUEUE_LENGTH: '10000000' });
    const variant = { ...usual(value, worker, redis), load };
    return value === 0 ? variant : { ...variant, backlogFrom: await fillQueues(redis, worker, value, load) };
  });
  return { variants, servers: variants.flatMap(({ worker, redis }) => [worker, ...redis]) };
}

async function oneWorker(name: string, values: number[], loadOf: (value: number) => Load): Promise<Field> {
  const redis = await startRedis(`scaling-${name}`, REDIS_CONF, NO_REWRITE);
  const worker = await startWorker(PROGRAM, redis);
  const variants = values.map((value) => ({ ...usual(value, worker, redis), load: loadOf(value) }));
  return { variants, servers: [worker, redis] };
}

function usual(value: number, worker: HttpServer, redis: RedisServer | RedisServer[]): Variant {
  return { value, worker, redis: [redis].flat(), load: USUAL, connections: CONNECTIONS };
}

const addresses = (count: number, first: number): number[] => Array.from({ length: count }, (_, i) => first + i);

async function inTurn<T>(values: number[], make: (value: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (const value of values) made.push(await make(value));
  return made;
}
