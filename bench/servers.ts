// The processes under measurement: Redis, the worker, and the servers it is compared with. All on 127.0.0.1, all
// children of the benchmark, ended by their own handles however the benchmark ends.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { ADDRESSES, FIRST_ADDRESS } from './traffic.js';

const READY_WITHIN_MS = 15_000;
const STOP_WITHIN_MS = 3_000;
/** Exit code after Ctrl+C. */
const INTERRUPTED = 130;

/** Redis's data and the children's logs; removed at the end, kept when a child failed. */
export const folder = mkdtempSync(join(tmpdir(), 'aizumi-bench-'));

export interface HttpServer {
  pid: number;
  url: string;
  stop(): Promise<void>;
}

export interface RedisServer {
  pid: number;
  url: string;
  /** The benchmark's own connection, for INFO and for filling. */
  client: Redis;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();

process.on('exit', (code) => {
  for (const child of running) child.kill('SIGKILL');
  if (code === 0 || code === INTERRUPTED || readdirSync(folder).length === 0)
    rmSync(folder, { recursive: true, force: true });
  else console.error(`the children's logs are in ${folder}`);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(INTERRUPTED));

/** @param args further redis-server arguments; `conf`, when given, comes before them */
export async function startRedis(name: string, conf: string | undefined, args: string[] = []): Promise<RedisServer> {
  const port = await freePort();
  const dir = join(folder, name);
  mkdirSync(dir);
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--daemonize', 'no'];
  const child = start(name, 'redis-server', [...(conf ? [conf] : []), ...own, ...args], process.env);
  const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined); // refused until it is up; if it never is, `ready` says so
  await ready(name, async () => Boolean(await client.ping()));
  return {
    pid: pidOf(child),
    url: `redis://127.0.0.1:${port}`,
    client,
    async stop() {
      client.disconnect();
      await end(child, 'SIGKILL'); // nothing here is worth saving
    },
  };
}

/** @param onDeath when it ends by itself; without it that ends the benchmark */
export async function startWorker(
  program: string,
  redis: RedisServer,
  settings: Record<string, string> = {},
  onDeath?: () => void,
): Promise<HttpServer> {
  const port = await freePort();
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith('AIZUMI_'));
  const all = {
    ...Object.fromEntries(env),
    AIZUMI_REDIS_URL: redis.url,
    AIZUMI_PORT: String(port),
    AIZUMI_WORKERS: '1',
    ...settings,
    NODE_ENV: 'production',
  };
  return startHttp(
    'worker',
    port,
    '/readyz',
    [program],
    all,
    onDeath,
    program.endsWith('.sh') ? 'sh' : process.execPath,
  );
}

/** floor.mjs or native.mjs. */
export async function startPeer(
  name: 'floor' | 'native',
  redis: RedisServer,
  joinWrites: boolean,
): Promise<HttpServer> {
  const port = await freePort();
  return startHttp(
    joinWrites ? `${name}-joined` : name,
    port,
    '/',
    [fileURLToPath(new URL(`./${name}.mjs`, import.meta.url))],
    {
      ...process.env,
      REDIS_URL: redis.url,
      PORT: String(port),
      JOIN_WRITES: joinWrites ? '1' : '0',
      FIRST_ADDRESS: String(FIRST_ADDRESS),
      ADDRESSES: String(ADDRESSES),
      NODE_ENV: 'production',
    },
  );
}

async function startHttp(
  name: string,
  port: number,
  probe: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  onDeath?: () => void,
  command = process.execPath,
): Promise<HttpServer> {
  const child = start(name, command, args, env, onDeath);
  const url = `http://127.0.0.1:${port}`;
  await ready(name, async () => (await fetch(url + probe)).ok);
  return { pid: pidOf(child), url, stop: () => end(child, 'SIGTERM') };
}

export function start(
  name: string,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  onDeath?: () => void,
): ChildProcess {
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', log, log] });
  running.add(child);
  const failed = (how: string): void => {
    if (!running.delete(child)) return; // ended by us
    if (onDeath) {
      onDeath();
      return;
    }
    console.error(`${name} ${how}\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
    process.exit(1);
  };
  child.on('error', (error) => failed(`could not be started: ${error.message}`));
  child.on('exit', (code, signal) => failed(`ended by itself (${signal ?? String(code)})`));
  return child;
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  running.delete(child);
  const exited = once(child, 'exit');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  child.kill(signal);
  await exited;
  clearTimeout(late);
}

export async function ready(name: string, probe: () => Promise<boolean>, withinMs = READY_WITHIN_MS): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline) {
    if (await probe().catch(() => false)) return;
    await sleep(50);
  }
  throw new Error(`${name} was not ready within ${withinMs} ms`);
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

export function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the child has no pid');
  return child.pid;
}
