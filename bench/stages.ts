// SEND, RECV and FREE one after another, in rounds that begin with the floor, so that noise hits all of them alike.
import type { Request } from 'autocannon';
import { setTimeout as sleep } from 'node:timers/promises';
import { drive, type Driven } from './drive.js';
import { cpuMicros, redisUsage } from '../harness/measure.js';
import type { HttpServer, RedisServer } from './servers.js';
import { ADDRESSES, FIRST_ADDRESS, deal, frees, receives, received, sends, takeIds } from './traffic.js';

/** What one stage of one round cost, per request. */
export interface Sample {
  serverMicros: number;
  redisMicros: number;
  perSecond: number;
  p50: number;
  p99: number;
  /** Children that Redis forked meanwhile (AOF rewrite, RDB); their CPU time is not counted. */
  forks: number;
}

export const STAGES = ['floor', 'floor, writes joined', 'SEND', 'RECV', 'FREE'] as const;
export type Stage = (typeof STAGES)[number];

/** Milliseconds between stages, for what a stage leaves behind: closing sockets, collecting garbage. */
const PAUSE_MS = 200;

export interface Servers {
  redis: RedisServer;
  floor: HttpServer;
  floorJoined: HttpServer;
  worker: HttpServer;
}

/** One round: every stage once, `count` requests each. Leaves all queues empty. */
export async function round(
  { redis, floor, floorJoined, worker }: Servers,
  count: number,
): Promise<Record<Stage, Sample>> {
  const floorSample = await stage(floor, redis, deal(sends(count, takeIds(count))));
  await forgetFloor(redis);
  const joinedSample = await stage(floorJoined, redis, deal(sends(count, takeIds(count))));
  await forgetFloor(redis);
  const firstId = takeIds(count);
  const send = await stage(worker, redis, deal(sends(count, firstId)));
  const recv = await stage(worker, redis, deal(receives(count)));
  const free = await stage(worker, redis, deal(frees(received(recv.bodies, firstId))));
  return { floor: floorSample, 'floor, writes joined': joinedSample, SEND: send, RECV: recv, FREE: free };
}

/** As {@link drive}; one that connects before it sends says when it has. */
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
  const usage = (): ReturnType<typeof redisUsage> => usageOfAll([redis].flat());
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
    serverMicros: (after - before) / perUnit,
    redisMicros: (micros - redisBefore.micros) / perUnit,
    forks: forks - redisBefore.forks,
  };
}

async function usageOfAll(servers: RedisServer[]): ReturnType<typeof redisUsage> {
  const all = await Promise.all(servers.map(({ client }) => redisUsage(client)));
  const sum = (field: 'micros' | 'forks'): number => all.reduce((total, one) => total + one[field], 0);
  return { micros: sum('micros'), forks: sum('forks') };
}

/** Of what SENDs alone have left in the usual addresses. */
export async function emptyQueues(redis: RedisServer): Promise<void> {
  for (let i = 0; i < ADDRESSES; i++) await redis.client.xtrim(`aizumi:{${FIRST_ADDRESS + i}}:queue`, 'MAXLEN', 0);
}

async function forgetFloor(redis: RedisServer): Promise<void> {
  await redis.client.del(...Array.from({ length: ADDRESSES }, (_, i) => `floor:{${FIRST_ADDRESS + i}}:queue`));
}
