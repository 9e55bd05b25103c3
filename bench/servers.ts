// The processes under measurement: Redis, the worker, and the programs it is compared with. All on 127.0.0.1, all children of
// the benchmark, ended with it however it ends.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { freePort, startRedisServer } from '../harness/redis-server.js';
import { until } from '../harness/until.js';
import { ADDRESSES, FIRST_ADDRESS } from './traffic.js';

export const REPOSITORY = fileURLToPath(new URL('../', import.meta.url));
/** Without an append-only file: it takes no memory, and no fsync. */
export const NO_AOF = ['--appendonly', 'no'];
/** A stock Redis instead of the settings that aizumi ships. */
export const STOCK = '';

const READY_WITHIN_MS = 15_000;
const STOP_WITHIN_MS = 3_000;
/** Exit code after Ctrl+C. */
const INTERRUPTED = 130;

/** Logs and data of the programs; kept when one of them failed. */
export const folder = mkdtempSync(join(tmpdir(), 'aizumi-bench-'));

export interface HttpServer {
  pid: number;
  url: string;
  stop(): Promise<void>;
}

export interface RedisServer {
  pid: number;
  url: string;
  port: number;
  /** The benchmark's own connection, for INFO and for filling. */
  client: Redis;
  stop(): Promise<void>;
}

export interface WorkerOptions {
  /** AIZUMI_* settings. */
  settings?: Record<string, string>;
  /** What runs instead of dist/index.js; a shell script may start it in a cgroup. */
  program?: string;
  /** Called when it ends by itself; without it that ends the benchmark. */
  onDeath?: () => void;
}

const running = new Set<ChildProcess>();
/** The worker that is measured; --worker names another. */
export const underTest = { program: join(REPOSITORY, 'dist/index.js') };

process.on('exit', (code) => {
  for (const child of running) child.kill('SIGKILL');
  if (code === 0 || code === INTERRUPTED) rmSync(folder, { recursive: true, force: true });
  else console.error(`the programs' logs are in ${folder}`);
});
process.on('SIGINT', () => process.exit(INTERRUPTED));

/** @param conf undefined: the settings that aizumi ships */
export async function startRedis(args: string[] = [], conf?: string): Promise<RedisServer> {
  const server = await startRedisServer({ args, ...(conf !== undefined && { conf }) });
  const client = new Redis(server.port, '127.0.0.1');
  client.on('error', () => undefined); // the command fails with it
  return {
    pid: server.pid,
    url: server.url,
    port: server.port,
    client,
    async stop() {
      client.disconnect();
      await server.stop();
    },
  };
}

export async function startWorker(redis: RedisServer, options: WorkerOptions = {}): Promise<HttpServer> {
  const { settings, program = underTest.program, onDeath } = options;
  const port = await freePort();
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('AIZUMI_'));
  const env = {
    ...Object.fromEntries(inherited),
    AIZUMI_REDIS_URL: redis.url,
    AIZUMI_PORT: String(port),
    AIZUMI_WORKERS: '1',
    ...settings,
    NODE_ENV: 'production',
  };
  const command = program.endsWith('.sh') ? 'sh' : process.execPath;
  const child = start('worker', command, [program], env, onDeath);
  return listening('worker', child, port, '/readyz');
}

/** floor.mjs or native.mjs. @param joinWrites whether it writes to Redis once per turn of its event loop, as the worker does */
export async function startPeer(
  name: 'floor' | 'native',
  redis: RedisServer,
  joinWrites: boolean,
): Promise<HttpServer> {
  const port = await freePort();
  const child = start(name, process.execPath, [fileURLToPath(new URL(`./${name}.mjs`, import.meta.url))], {
    ...process.env,
    REDIS_URL: redis.url,
    PORT: String(port),
    JOIN_WRITES: joinWrites ? '1' : '0',
    FIRST_ADDRESS: String(FIRST_ADDRESS),
    ADDRESSES: String(ADDRESSES),
    NODE_ENV: 'production',
  });
  return listening(name, child, port, '/');
}

async function listening(name: string, child: ChildProcess, port: number, probe: string): Promise<HttpServer> {
  const url = `http://127.0.0.1:${port}`;
  await ready(name, async () => (await fetch(url + probe)).ok);
  return { pid: child.pid!, url, stop: () => end(child) };
}

/** Starts any program in the folder of logs. */
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

export async function end(child: ChildProcess): Promise<void> {
  running.delete(child);
  const exited = once(child, 'exit');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  child.kill('SIGTERM');
  await exited;
  clearTimeout(late);
}

/** Resolves when `probe` returns true; until then it may also throw. */
export const ready = (what: string, probe: () => Promise<boolean>, withinMs = READY_WITHIN_MS): Promise<unknown> =>
  until(what, () => probe().catch(() => false), withinMs);

export async function stopAll(...servers: { stop(): Promise<void> }[]): Promise<void> {
  for (const server of servers) await server.stop();
}
