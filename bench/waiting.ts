// What 10,000 waiting receivers cost: the worker and Redis while nothing happens, a SEND to others meanwhile, and how soon one of them
// has its message.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpRequest } from '../harness/connection.js';
import { cpuMicros, percentile, residentMb } from '../harness/measure.js';
import { recvRequest, sendRequest } from '../harness/requests.js';
import { GOALS, atMost } from './goals.js';
import { sizeOf } from './requests.js';
import type { Options, Row } from './results.js';
import { startRedis, startWorker, stopAll } from './servers.js';
import type { HttpServer, RedisServer } from './servers.js';
import { sendStage } from './stages.js';

interface Send {
  workerMicros: number;
  /** Inside Redis, by its own count: its CPU time has in it what the waiters do who ask again. */
  xaddMicros: number;
}

interface Idle {
  workerMsPerSecond: number;
  redisCommandsPerSecond: number;
  residentMb: number;
}

const WAITERS = 10_000;
const FIRST_WAITER = 100_000;
const WAIT_MS = 20_000;
const CONNECT_AT_ONCE = 250;
const IDLE_MS = 5_000;
const WAKES = 400;
/** Redis's commands and the worker's CPU, less than this in a second. */
const QUIET = { commands: 50, micros: 50_000 };

/** The senders and those who wait use different workers. */
export async function waiting(options: Options): Promise<Row[]> {
  options.say(`${WAITERS} waiting receivers`);
  const { rounds, count } = sizeOf(options);
  const redis = await startRedis();
  const [waitersWorker, sendersWorker] = [await startWorker(redis), await startWorker(redis)];
  const sendBest = async (): Promise<Send> => {
    const all: Send[] = [];
    for (let r = 0; r <= rounds; r++) all.push(await measureSend(sendersWorker, redis, count));
    const least = (field: keyof Send): number => Math.min(...all.map((send) => send[field]));
    return { workerMicros: least('workerMicros'), xaddMicros: least('xaddMicros') };
  };
  const sendWithout = await sendBest();
  const idleWithout = await measureIdle(waitersWorker, redis);
  const commands = await commandsOf(redis);
  const waiters = await startWaiters(waitersWorker.url);
  // measured before the first of them asks again
  const untilMs = performance.now() + WAIT_MS - IDLE_MS - 1_000;
  const isSettled = await settled(waitersWorker, redis, commands, untilMs);
  if (!isSettled) options.say('the machine is too busy for the idle figures: not all waiters were polled for in time');
  const idleWith = isSettled ? await measureIdle(waitersWorker, redis) : undefined;
  const wakes = await measureWakes(waiters, sendersWorker.url);
  const sendWith = await sendBest();
  waiters.forEach((waiter) => waiter.socket.destroy());
  await stopAll(waitersWorker, sendersWorker, redis);
  const both = (what: string, without: number, withThem: number | undefined): Row => ({
    what,
    'without waiters': without,
    'with them': withThem,
  });
  const [p50, p99] = [percentile(wakes, 0.5), percentile(wakes, 0.99)];
  return [
    both('idle: worker CPU, ms/s', idleWithout.workerMsPerSecond, idleWith?.workerMsPerSecond),
    both('idle: Redis commands/s', idleWithout.redisCommandsPerSecond, idleWith?.redisCommandsPerSecond),
    both('worker resident, MB', idleWithout.residentMb, idleWith?.residentMb),
    { what: 'woken by a SEND, p50 ms', 'with them': p50, ...atMost(p50, GOALS.wakeMs) },
    { what: 'woken by a SEND, p99 ms', 'with them': p99 },
    both('SEND to others: worker µs/request', sendWithout.workerMicros, sendWith.workerMicros),
    both("SEND to others: µs/XADD, by Redis's own count", sendWithout.xaddMicros, sendWith.xaddMicros),
  ];
}

async function measureSend(worker: HttpServer, redis: RedisServer, count: number): Promise<Send> {
  const xadd = async (): Promise<{ calls: number; micros: number }> => {
    const info = await redis.client.info('commandstats');
    const [, calls, micros] = /cmdstat_xadd:calls=(\d+),usec=(\d+)/.exec(info) ?? [];
    return { calls: Number(calls), micros: Number(micros) };
  };
  const before = await xadd();
  const { workerMicros } = await sendStage(worker, redis, count);
  const after = await xadd();
  return { workerMicros, xaddMicros: (after.micros - before.micros) / (after.calls - before.calls) };
}

/** Waits until the waiters have been polled for and all is quiet for a second. @returns false: not by `untilMs` */
async function settled(worker: HttpServer, redis: RedisServer, before: number, untilMs: number): Promise<boolean> {
  let [commands, micros] = [before, 0];
  while (performance.now() < untilMs) {
    const [commandsNow, microsNow] = [await commandsOf(redis), cpuMicros(worker.pid)];
    const isQuiet = commandsNow - commands < QUIET.commands && microsNow - micros < QUIET.micros;
    if (isQuiet && commandsNow - before > WAITERS) return true;
    [commands, micros] = [commandsNow, microsNow];
    await sleep(1_000);
  }
  return false;
}

const commandsOf = async ({ client }: RedisServer): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1]);

async function measureIdle(worker: HttpServer, redis: RedisServer): Promise<Idle> {
  const [commandsBefore, microsBefore] = [await commandsOf(redis), cpuMicros(worker.pid)];
  await sleep(IDLE_MS);
  const [commandsAfter, microsAfter] = [await commandsOf(redis), cpuMicros(worker.pid)];
  const perSecond = (amount: number): number => amount / (IDLE_MS / 1_000);
  return {
    workerMsPerSecond: perSecond(microsAfter - microsBefore) / 1_000,
    redisCommandsPerSecond: perSecond(commandsAfter - commandsBefore - 1), // less our own INFO
    residentMb: residentMb(worker.pid).now,
  };
}

interface Waiter {
  address: number;
  socket: Socket;
  ask: () => unknown;
  /** Called with each reply; then it asks again. */
  onReply: (text: string) => unknown;
}

/** One connection each, at an address of its own; whoever is told that there is nothing asks again. */
async function startWaiters(url: string): Promise<Waiter[]> {
  const waiters: Waiter[] = [];
  for (let i = 0; i < WAITERS; i += CONNECT_AT_ONCE) {
    const some = Array.from({ length: CONNECT_AT_ONCE }, (_, n) => startWaiter(url, FIRST_WAITER + i + n));
    waiters.push(...(await Promise.all(some)));
  }
  // all together, so that none has to ask again before what is measured first has been measured
  waiters.forEach((waiter) => waiter.ask());
  return waiters;
}

async function startWaiter(url: string, address: number): Promise<Waiter> {
  const { hostname, port } = new URL(url);
  const socket = createConnection({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  const request = httpRequest(JSON.stringify({ ...recvRequest(address), wait_ms: WAIT_MS }));
  const waiter: Waiter = { address, socket, ask: () => socket.write(request), onReply: () => undefined };
  socket.on('data', (bytes: Buffer) => {
    const text = bytes.toString(); // replies are short: they come in one piece
    waiter.onReply(text);
    waiter.ask();
  });
  return waiter;
}

async function measureWakes(waiters: Waiter[], url: string): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < WAKES; i++) {
    const waiter = waiters[(i * 7919) % waiters.length]!;
    const woken = new Promise<number>((resolve) => {
      waiter.onReply = (text) => {
        if (text.includes('"code":200')) resolve(performance.now()); // its time may be up before the message comes
      };
    });
    const startMs = performance.now();
    const body = JSON.stringify(sendRequest(waiter.address, 1));
    const sent = fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    times.push((await woken) - startMs);
    waiter.onReply = () => undefined;
    await (await sent).text();
  }
  return times;
}
