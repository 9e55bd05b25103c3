// npm run bench -- isolation [--seconds 20] [--quiet 5] [--only B1,B9] [--together] [--worker dist/index.js]: what one client does
// to another. A victim with a key of its own does SEND, RECV, FREE at 200 a second: alone, then beside each of the inputs in
// isolation-inputs.ts, which one client sends as fast as it can. Each has a Redis and a worker of its own. --together: all of
// them at once, but for those that need settings of their own. --worker may be a shell script that starts it in a cgroup.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { digestOf } from '../src/access/api-key.js';
import { INPUTS } from './isolation-inputs.js';
import type { Input } from './isolation-inputs.js';
import { MB, percentile, residentMb } from '../harness/measure.js';
import { folder, startRedis, startWorker } from './servers.js';
import type { HttpServer, RedisServer } from './servers.js';

/** Cycles of SEND, RECV, FREE a second. */
const PER_S = 200;
const ADDRESS = 2;
const CONNECTIONS = 64;
/** An answer that takes longer is a failure. */
const TIMEOUT_MS = 10_000;
/** The goal: the larger of these. */
const MOST_TIMES = 3;
const MOST_MS = 50;
/** As docker-compose.yml has it. */
const REDIS_MEMORY = '256mb';
const SHARES = { AIZUMI_MAX_QUEUE_BYTES: '134217728', AIZUMI_MAX_CLIENT_BYTES: '67108864' };
const KEYS = { victim: 'aizumi_victim', flood: 'aizumi_flood' };

interface Options {
  program: string;
  conf: string;
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

interface Row {
  input: Pick<Input, 'name' | 'says' | 'env'>;
  quiet: Times;
  flooded: Times;
  died: boolean;
  workerMb: number;
  redisMb: number;
}

/** @returns a table, markdown */
export async function measureIsolation(options: Options): Promise<string> {
  const isAsked = ({ name }: Input): boolean =>
    options.only.length === 0 || options.only.some((start) => name.startsWith(start));
  const rows: Row[] = [];
  const asked = INPUTS.filter(isAsked);
  const parts = asked.filter(({ env }) => env === undefined);
  const all: Row['input'] = { name: 'together', says: `${parts.length} of these at once` };
  for (const input of options.together ? [all] : asked) {
    rows.push(await measure(input, options.together ? parts : [input as Input], options));
    options.say(lineOf(rows.at(-1) as Row));
  }
  return [HEAD, ...rows.map(lineOf)].join('\n');
}

async function measure(input: Row['input'], parts: readonly Input[], options: Options): Promise<Row> {
  const { program, conf, seconds, quietSeconds, say } = options;
  say(`${input.name}: ${input.says}`);
  const name = input.name.replaceAll(' ', '-');
  const redis = await startRedis(name, conf, ['--maxmemory', REDIS_MEMORY]);
  const fate = { died: false };
  const worker = await startWorker(
    program,
    redis,
    { AIZUMI_API_KEYS_FILE: keysFile(), ...SHARES, ...input.env },
    () => (fate.died = true),
  );
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
  return { input, quiet, flooded, died: fate.died, workerMb, redisMb };
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
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const times: Times = { ms: [], failures: {} };
  const cycles: Promise<void>[] = [];
  const startMs = performance.now();
  for (let n = 0; n < seconds * PER_S && !isOver(); n++) {
    const dueMs = startMs + (n * 1_000) / PER_S;
    if (dueMs > performance.now()) await sleep(dueMs - performance.now());
    cycles.push(cycle(url, agent, n, times));
  }
  await Promise.all(cycles);
  agent.destroy();
  return times;
}

async function cycle(url: string, agent: Agent, id: number, times: Times): Promise<void> {
  const about = { saddr: ADDRESS, daddr: ADDRESS };
  await timed(url, agent, { msg_type: 1, ...about, id, payload: 'x'.repeat(100) }, times);
  const got = await timed(url, agent, { msg_type: 3, ...about }, times);
  if (got !== undefined) await timed(url, agent, { msg_type: 5, ...about, id: got.id }, times);
}

/** @returns the reply; undefined: it was a failure */
async function timed(url: string, agent: Agent, body: object, times: Times): Promise<{ id?: number } | undefined> {
  const startMs = performance.now();
  const { status, text } = await post(url, agent, JSON.stringify(body));
  times.ms.push(performance.now() - startMs);
  if (status === 200) return JSON.parse(text) as { id?: number };
  const why = /"reason":"(\w+)"/.exec(text)?.[1] ?? text;
  times.failures[why] = (times.failures[why] ?? 0) + 1;
  return undefined;
}

const post = (url: string, agent: Agent, body: string): Promise<{ status: number; text: string }> =>
  new Promise((done) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEYS.victim}` };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const sent = request(url, { method: 'POST', agent, headers, signal }, (response) => {
      let text = '';
      response
        .setEncoding('utf8')
        .on('data', (part: string) => (text += part))
        .once('error', () => done({ status: 0, text: 'broken' }))
        .once('end', () => done({ status: response.statusCode ?? 0, text }));
    });
    sent.once('error', ({ name }) => done({ status: 0, text: name === 'AbortError' ? 'timeout' : 'broken' }));
    sent.end(body);
  });

/** Peaks, MB; the worker's since it started, Redis's as it tells from time to time. */
function watchMemory(worker: HttpServer, redis: RedisServer): { stop(): { workerMb: number; redisMb: number } } {
  let [workerMb, redisMb] = [NaN, NaN];
  const look = (): void => {
    try {
      workerMb = residentMb(worker.pid).peak;
    } catch {
      // it has died: what was seen last counts
    }
    redis.client.info('memory').then(
      (info) => (redisMb = Number(/^used_memory_peak:(\d+)/m.exec(info)?.[1]) / MB),
      () => undefined,
    );
  };
  look();
  const timer = setInterval(look, 200);
  return {
    stop() {
      clearInterval(timer);
      return { workerMb, redisMb };
    },
  };
}

const HEAD = [
  '| input | | victim’s failures | p99 | quiet p99 | worker’s peak | Redis’s peak | goal |',
  '|---|---|---:|---:|---:|---:|---:|---|',
].join('\n');

function lineOf({ input, quiet, flooded, died, workerMb, redisMb }: Row): string {
  const [before, beside] = [percentile(quiet.ms, 0.99), percentile(flooded.ms, 0.99)];
  const failures = Object.values(flooded.failures).reduce((sum, count) => sum + count, 0);
  const reasons = Object.entries(flooded.failures).map(([reason, count]) => `${count} ${reason}`);
  const isMet = failures === 0 && !died && beside <= Math.max(MOST_TIMES * before, MOST_MS);
  const cells = [
    input.name,
    input.says,
    `${failures} of ${flooded.ms.length}${failures > 0 ? ` (${reasons.join(', ')})` : ''}`,
    `${beside.toFixed(1)} ms`,
    `${before.toFixed(1)} ms`,
    `${workerMb.toFixed(0)} MB`,
    `${redisMb.toFixed(0)} MB`,
    died ? '**the worker died**' : isMet ? 'met' : '**missed**',
  ];
  return `| ${cells.join(' | ')} |`;
}
