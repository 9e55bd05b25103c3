// A stage: prepared requests through one server, with what it and Redis used for each. Stages of several servers take turns, round
// by round, so that noise hits all of them alike.
import type { Request } from 'autocannon';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMicros, median, redisUsage } from '../harness/measure.js';
import { drive, type Driven } from './drive.js';
import type { Cost, Ratios } from './results.js';
import type { HttpServer, RedisServer } from './servers.js';
import { ADDRESSES, FIRST_ADDRESS, deal, sends, takeIds } from './traffic.js';

/** What one stage of one round cost, per request. */
export interface Sample extends Cost {
  /** Children that Redis forked meanwhile (AOF rewrite, RDB); their CPU time is not counted. */
  forks: number;
}

/** Between stages, for what a stage leaves behind: sockets that close, garbage. */
const PAUSE_MS = 200;

/** As {@link drive}; one that connects before it sends reports when it has. */
export type Driver = (
  url: string,
  requests: Request[][],
  onLastAnswer: () => void,
  onConnected: () => void,
) => Promise<Driven>;

/**
 * Drives a server with requests, one list per connection; what it and Redis used is divided by `perUnit` requests.
 * @param redis several: their sum
 */
export async function stage(
  server: HttpServer,
  redis: RedisServer | RedisServer[],
  requests: Request[][],
  perUnit = requests.flat().length,
  driver: Driver = drive,
): Promise<Sample & Driven> {
  await sleep(PAUSE_MS);
  const usage = (): Promise<Usage> => usageOfAll([redis].flat());
  const redisBefore = await usage();
  let before = cpuMicros(server.pid);
  let after = before;
  let redisAfter = Promise.resolve(redisBefore);
  const onLastAnswer = (): void => {
    after = cpuMicros(server.pid);
    redisAfter = usage();
  };
  const driven = await driver(server.url, requests, onLastAnswer, () => {
    before = cpuMicros(server.pid);
  });
  const { micros, forks } = await redisAfter;
  return {
    ...driven,
    workerMicros: (after - before) / perUnit,
    redisMicros: (micros - redisBefore.micros) / perUnit,
    forks: forks - redisBefore.forks,
  };
}

type Usage = Awaited<ReturnType<typeof redisUsage>>;

async function usageOfAll(servers: RedisServer[]): Promise<Usage> {
  const all = await Promise.all(servers.map(({ client }) => redisUsage(client)));
  const sum = (field: keyof Usage): number => all.reduce((total, one) => total + one[field], 0);
  return { micros: sum('micros'), forks: sum('forks') };
}

/** `count` SENDs to the usual addresses, which are emptied afterwards. */
export async function sendStage(
  server: HttpServer,
  redis: RedisServer,
  count: number,
  connections?: number,
): Promise<Sample> {
  const sample = await stage(server, redis, deal(sends(count, takeIds(count)), connections));
  await emptyQueues(redis);
  return sample;
}

/** Of what SENDs alone have left at the usual addresses. */
export async function emptyQueues({ client }: RedisServer): Promise<void> {
  for (let i = 0; i < ADDRESSES; i++)
    for (const owner of ['aizumi', 'floor']) await client.xtrim(`${owner}:{${FIRST_ADDRESS + i}}:queue`, 'MAXLEN', 0);
}

/** Runs `one` so many times, after one that is not counted: V8 compiles what runs often. */
export async function inRounds<T>(rounds: number, one: (round: number) => Promise<T>): Promise<T[]> {
  await one(0);
  const all: T[] = [];
  for (let round = 1; round <= rounds; round++) all.push(await one(round));
  return all;
}

/** Medians. */
export function costOf(samples: Sample[]): Cost {
  const of = (field: keyof Cost): number => median(samples.map((sample) => sample[field]));
  return {
    workerMicros: of('workerMicros'),
    redisMicros: of('redisMicros'),
    perSecond: of('perSecond'),
    p50: of('p50'),
    p99: of('p99'),
  };
}

/** The cheapest round: noise only ever adds. */
export const best = (samples: Sample[], field: 'workerMicros' | 'redisMicros'): number =>
  Math.min(...samples.map((sample) => sample[field]));

/** @param base of the same rounds */
export function ratios(samples: Sample[], base: Sample[]): Ratios {
  const ratio = (of: (sample: Sample) => number): number => median(samples.map((one, i) => of(one) / of(base[i]!)));
  return {
    worker: ratio((sample) => sample.workerMicros),
    redis: ratio((sample) => sample.redisMicros),
    both: ratio((sample) => sample.workerMicros + sample.redisMicros),
  };
}
