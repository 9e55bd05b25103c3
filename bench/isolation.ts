// npm run bench -- isolation [--seconds 20] [--quiet 5] [--only B1,B9] [--together] [--worker dist/index.js]: what one client does
// to another. A victim with a key of its own does SEND, RECV, FREE at 200 a second: alone, then beside each of the inputs in
// isolation-inputs.ts, which one client sends as fast as it can. Each has a Redis and a worker of its own. --together: all of
// them at once, but for those that need settings of their own. --worker may be a shell script that starts it in a cgroup.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { digestOf } from '../src/access/api-key.js';
import { httpClient, type HttpClient } from '../harness/http-client.js';
import { MB, percentile, residentMb } from '../harness/measure.js';
import { freeRequest, recvRequest, sendRequest } from '../harness/requests.js';
import { GOALS } from './goals.js';
import { INPUTS, type Input } from './isolation-inputs.js';
import type { Row } from './results.js';
import { folder, startRedis, startWorker, type HttpServer, type RedisServer } from './servers.js';

/** Cycles of SEND, RECV, FREE a second. */
const PER_S = 200;
const ADDRESS = 2;
const CONNECTIONS = 64;
/** A reply that takes longer is a failure. */
const TIMEOUT_MS = 10_000;
/** As docker-compose.yml has it. */
const REDIS_MEMORY = '256mb';
const SHARES = { AIZUMI_MAX_QUEUE_BYTES: '134217728', AIZUMI_MAX_CLIENT_BYTES: '67108864' };
const KEYS = { victim: 'aizumi_victim', flood: 'aizumi_flood' };

interface Options {
  seconds: number;
  quietSeconds: number;
  /** The beginnings of the inputs' names; empty: all. */
  only: readonly string[];
  /** All at once. */
  together: boolean;
  say: (text: string) => void;
}

interface Times {
  ms: number[];
  failures: Record<string, number>;
}

/** A row for each input. */
export async function isolation(options: Options): Promise<Row[]> {
  const isAsked = ({ name }: Input): boolean =>
    options.only.length === 0 || options.only.some((start) => name.startsWith(start));
  const asked = INPUTS.filter(isAsked);
  const parts = asked.filter(({ env }) => env === undefined);
  const rows: Row[] = [];
  if (options.together) rows.push(await measure('together', `${parts.length} of these at once`, parts, options));
  else for (const input of asked) rows.push(await measure(input.name, input.says, [input], options));
  return rows;
}

async function measure(name: string, says: string, parts: readonly Input[], options: Options): Promise<Row> {
  const { seconds, quietSeconds, say } = options;
  say(`${name}: ${says}`);
  const redis = await startRedis(['--maxmemory', REDIS_MEMORY]);
  const fate = { died: false };
  const worker = await startWorker(redis, {
    settings: { AIZUMI_API_KEYS_FILE: keysFile(), ...SHARES, ...parts[0]?.env },
    onDeath: () => (fate.died = true),
  });
  const child = ({ name: part }: Input, what: string) =>
    fork(fileURLToPath(new URL('./isolation-flood.ts', import.meta.url)), [part, worker.url, KEYS.flood, what]);
  for (const part of parts) if (part.prepare) await once(child(part, 'prepare'), 'exit');
  const quiet = await victim(worker.url, quietSeconds, () => fate.died);
  const floods = parts.map((part) => child(part, 'flood'));
  const ended = Promise.all(floods.map((flood) => once(flood, 'exit')));
  const memory = watchMemory(worker, redis);
  const flooded = await victim(worker.url, seconds, () => fate.died);
  for (const flood of floods) flood.kill('SIGKILL');
  await ended;
  const { workerMb, redisMb } = memory.stop();
  if (!fate.died) await worker.stop();
  await redis.stop();
  const [before, beside] = [percentile(quiet.ms, 0.99), percentile(flooded.ms, 0.99)];
  const failures = Object.values(flooded.failures).reduce((sum, count) => sum + count, 0);
  const reasons = Object.entries(flooded.failures).map(([reason, count]) => `${count} ${reason}`);
  const { times, ms } = GOALS.besideFlood;
  const isMet = failures === 0 && beside <= Math.max(times * before, ms);
  return {
    input: name,
    '': says,
    'victim’s failures': `${failures} of ${flooded.ms.length}${failures > 0 ? ` (${reasons.join(', ')})` : ''}`,
    'p99 ms': beside,
    'quiet p99 ms': before,
    'worker’s peak MB': Math.round(workerMb),
    'Redis’s peak MB': Math.round(redisMb),
    goal: fate.died ? 'THE WORKER DIED' : isMet ? 'met' : 'MISSED',
  };
}

function keysFile(): string {
  const path = join(folder, 'isolation-keys.json');
  const own = [`${ADDRESS}`];
  const flooders = ['1000-4294967295'];
  const keys = [
    { name: 'victim', sha256: digestOf(KEYS.victim), send: own, to: own, receive: own },
    { name: 'flood', sha256: digestOf(KEYS.flood), send: flooders, receive: flooders, administer: flooders },
  ];
  writeFileSync(path, JSON.stringify({ keys }));
  return path;
}

/** Begins a cycle when it is due, whether those before have ended or not. */
async function victim(url: string, seconds: number, isOver: () => boolean): Promise<Times> {
  const headers = { authorization: `Bearer ${KEYS.victim}` };
  const client = httpClient(url, { connections: CONNECTIONS, timeoutMs: TIMEOUT_MS, headers });
  const times: Times = { ms: [], failures: {} };
  const cycles: Promise<void>[] = [];
  const startMs = performance.now();
  for (let n = 0; n < seconds * PER_S && !isOver(); n++) {
    const dueMs = startMs + (n * 1_000) / PER_S;
    if (dueMs > performance.now()) await sleep(dueMs - performance.now());
    cycles.push(cycle(client, n, times));
  }
  await Promise.all(cycles);
  client.close();
  return times;
}

async function cycle(client: HttpClient, id: number, times: Times): Promise<void> {
  await timed(client, sendRequest(ADDRESS, id, 'x'.repeat(100), ADDRESS), times);
  const got = await timed(client, recvRequest(ADDRESS), times);
  if (got?.id !== undefined) await timed(client, freeRequest(ADDRESS, got.id), times);
}

/** @returns the reply; undefined: it was a failure */
async function timed(client: HttpClient, body: object, times: Times): Promise<{ id?: number } | undefined> {
  const startMs = performance.now();
  const { status, text } = await client
    .ask('POST', '/', JSON.stringify(body))
    .catch((error: unknown) => ({ status: 0, text: (error as Error).name === 'AbortError' ? 'timeout' : 'broken' }));
  times.ms.push(performance.now() - startMs);
  if (status === 200) return JSON.parse(text) as { id?: number };
  const why = /"reason":"(\w+)"/.exec(text)?.[1] ?? text;
  times.failures[why] = (times.failures[why] ?? 0) + 1;
  return undefined;
}

/** Peaks, MB; the worker's since it started, Redis's as it reports from time to time. */
function watchMemory(worker: HttpServer, redis: RedisServer): { stop(): { workerMb: number; redisMb: number } } {
  let [workerMb, redisMb] = [NaN, NaN];
  const poll = (): void => {
    try {
      workerMb = residentMb(worker.pid).peak;
    } catch {
      // it has died: the last reading counts
    }
    redis.client.info('memory').then(
      (info) => (redisMb = Number(/^used_memory_peak:(\d+)/m.exec(info)?.[1]) / MB),
      () => undefined,
    );
  };
  poll();
  const timer = setInterval(poll, 200);
  return {
    stop() {
      clearInterval(timer);
      return { workerMb, redisMb };
    },
  };
}
