// A plain Redis server for tests, with the redis.conf that aizumi ships, in a temporary folder; removed when the tests end.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface TestServerOptions {
  /** More settings, as arguments: ['--maxmemory', '10mb']. They override redis.conf. */
  args?: string[];
  /** A configuration of its own, which the server may rewrite, instead of the shipped one. */
  conf?: string;
  /** Loopback port; default: a free one. */
  port?: number;
  /** Listens on a unix socket in its folder instead of a loopback port. */
  unix?: boolean;
  /** A library that makes setClock() work, built from harness/clock.c: preloaded into the server. */
  clock?: string | undefined;
}

export interface TestServer {
  /** redis://127.0.0.1:port or unix:///path/redis.sock */
  readonly url: string;
  /** 0 with `unix`. */
  readonly port: number;
  /** Id of the current or last process. */
  readonly pid: number;
  /** Its data; kept by restart(), removed by stop(). */
  readonly dir: string;
  /** Ends it, whatever state it is in, and removes its folder. */
  stop(): Promise<void>;
  /** Ends it like a crash; resolves when it has ended. */
  kill9(): Promise<void>;
  /** Makes it hang: the kernel still accepts connections for it, and no command is answered. */
  pause(): void;
  resume(): void;
  /** Sets its wall clock ahead of the machine's by this many ms, also after restarts. Needs the option `clock`. */
  setClock(aheadMs: number): void;
  /** Restarts it on the same address, with its data or `empty`; after a clean stop if it still runs. */
  restart(options?: { empty?: boolean }): Promise<void>;
}

const READY_MS = 10_000;
/** A fork of a server ends within this time, because it has finished or noticed that the server has ended. */
const FORK_MS = 5_000;
const SHIPPED_CONF = fileURLToPath(new URL('../src/redis/redis.conf', import.meta.url));
/** The files with a server's data: the append-only files and a snapshot. */
const DATA = ['appendonlydir', 'dump.rdb'];

/** The server program under test. */
export const testServerProgram = process.env.AIZUMI_TEST_REDIS_SERVER ?? 'redis-server';

/** One for each server that was not stopped: ends its process and removes its folder. */
const discards = new Set<() => void>();
process.on('exit', () => {
  for (const discard of discards) discard();
});
// these signals end a process without its 'exit' event (SIGINT is handled by mocha)
for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/** Starts a server; resolves when it answers. */
export async function startRedisServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { args = [], unix = false } = options;
  const dir = mkdtempSync(join(tmpdir(), 'aizumi-redis-'));
  const socket = join(dir, 'redis.sock');
  const port = unix ? 0 : (options.port ?? (await freePort()));
  const conf = options.conf === undefined ? SHIPPED_CONF : join(dir, 'redis.conf');
  if (options.conf !== undefined) writeFileSync(conf, options.conf);
  const address = unix ? ['--port', '0', '--unixsocket', socket] : ['--port', String(port), '--bind', '127.0.0.1'];
  const target = unix ? { path: socket } : { port, host: '127.0.0.1' };
  const clockFile = join(dir, 'clock');
  const clockEnv = options.clock === undefined ? {} : { LD_PRELOAD: options.clock, AIZUMI_CLOCK: clockFile };
  // the allocator's background thread would compute deadlines with the shifted clock and sleep by the real one
  const clockArgs = options.clock === undefined ? [] : ['--jemalloc-bg-thread', 'no'];
  if (options.clock !== undefined) writeFileSync(clockFile, milliseconds(0));
  let child: ChildProcess;
  const discard = (): void => {
    child.kill('SIGKILL'); // without effect on a process that has ended
    rmSync(dir, { recursive: true, force: true });
  };

  function isDiscarded(isLastTry: boolean): boolean {
    try {
      discard();
      return true;
    } catch (error) {
      if (isLastTry) throw error;
      return false;
    }
  }

  async function start(): Promise<void> {
    let said = '';
    const started = spawn(testServerProgram, [conf, '--dir', dir, ...address, ...clockArgs, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...clockEnv },
    });
    child = started;
    started.stdout.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    started.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
    await once(started, 'spawn');
    const deadline = Date.now() + READY_MS;
    while (!(await answersPing(target))) {
      if (hasEnded(started) || Date.now() > deadline) throw new Error(`no answer from ${testServerProgram}:\n${said}`);
      await delay(10);
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (hasEnded(child)) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async function stop(): Promise<void> {
    await end('SIGKILL');
    // a fork that writes a copy lives a moment longer, and may create files in the folder while it is removed
    const lastTryMs = Date.now() + FORK_MS;
    while (!isDiscarded(Date.now() > lastTryMs)) await delay(50);
    discards.delete(discard);
  }

  discards.add(discard);
  await start().catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    url: unix ? `unix://${socket}` : `redis://127.0.0.1:${port}`,
    port,
    dir,
    get pid() {
      return child.pid!;
    },
    stop,
    kill9: () => end('SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    setClock(aheadMs) {
      const file = openSync(clockFile, 'r+'); // in place: the server has it mapped
      writeSync(file, milliseconds(aheadMs));
      closeSync(file);
    },
    async restart({ empty = false } = {}) {
      child.kill('SIGCONT');
      await end('SIGTERM');
      if (empty) for (const name of DATA) rmSync(join(dir, name), { recursive: true, force: true });
      await start();
    },
  };
}

function milliseconds(ms: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(ms));
  return bytes;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A loopback port on which nothing listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** True if it answers +PONG within a second, which it does not while it loads its data. */
function answersPing(target: { path: string } | { port: number; host: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(target);
    const settle = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(1000, () => settle(false));
    socket.on('error', () => settle(false));
    socket.on('connect', () => socket.write('PING\r\n'));
    socket.on('data', (data) => settle(data.toString().startsWith('+PONG')));
  });
}
