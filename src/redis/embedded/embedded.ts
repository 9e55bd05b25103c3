// The embedded Redis server: it is started when AIZUMI_REDIS_URL is not set, and is private to this aizumi and its data folder.
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { openDataFolder } from './data-folder.js';
import { keepRunning } from './keep-running.js';
import { findServerProgram } from './server-program.js';
import { ask } from './socket-ask.js';
import { refuseUnreadData } from './unread-data.js';

export interface EmbeddedOptions {
  /** Holds all data; created if missing; used by one aizumi at a time. */
  dataDir: string;
  /** Path or name of the server program; default: the first redis-server, else valkey-server, found. */
  program?: string;
  log: Logger;
}

export interface EmbeddedRedis {
  /** The unix socket that it listens on, for this user only. */
  readonly socketPath: string;
  /** Path of the program that runs. */
  readonly program: string;
  /** Stops the server, removes its sockets and releases the data folder. */
  stop(): Promise<void>;
}

/** How long the shutdown of a leftover server may take. */
const ORPHAN_MS = 5000;

/**
 * Starts a Redis server on `dataDir` and restarts it whenever it dies, until `stop()`.
 * @returns when it answers PING, which it does once it has loaded its data
 * @throws Error that names what to do: no suitable program, a folder that is in use or not usable, data that the server would not
 *   load, or a server that does not start
 */
export async function startEmbeddedRedis({ dataDir, program, log }: EmbeddedOptions): Promise<EmbeddedRedis> {
  const found = await findServerProgram(program);
  const folder = await openDataFolder(dataDir, log);
  const socketPath = join(folder.sockets, 'redis.sock');
  const pidfile = join(folder.sockets, 'redis.pid');
  // redis.conf is what all deployments share; the rest makes this server a private part of this process
  const args = [
    fileURLToPath(new URL('../redis.conf', import.meta.url)),
    ...['--dir', folder.dir, '--port', '0', '--unixsocket', socketPath, '--unixsocketperm', '600'],
    ...['--pidfile', pidfile, '--daemonize', 'no', '--logfile', ''],
  ];

  try {
    await endOrphan(socketPath, pidfile, log);
    await removeHalfRewrites(folder.dir);
    await refuseUnreadData(folder.dir);
    const stopServer = await keepRunning({ program: found, args, dir: folder.dir, socketPath }, log);
    let stopped: Promise<void> | undefined;
    return { socketPath, program: found, stop: () => (stopped ??= stopServer().then(cleanUp)) };
  } catch (error) {
    await folder.release(); // the other files stay: they may belong to a leftover server
    throw error;
  }

  async function cleanUp(): Promise<void> {
    await rm(socketPath, { force: true });
    await rm(pidfile, { force: true });
    await folder.release();
  }
}

/**
 * Shuts down the server that a killed aizumi left running. Nobody else uses it, since this process holds the folder's lock.
 *
 * NOSAVE omits an RDB snapshot and nothing else: SHUTDOWN writes and fsyncs the append-only file in either case
 * (finishShutdown in server.c of Redis and Valkey; https://redis.io/docs/latest/commands/shutdown/),
 * and only with NOSAVE does a server obey that is busy with a script.
 */
async function endOrphan(socketPath: string, pidfile: string, log: Logger): Promise<void> {
  const pid = await readPid(pidfile);
  const deadline = performance.now() + ORPHAN_MS;
  let answer = await ask(socketPath, 'SHUTDOWN NOSAVE', ORPHAN_MS);
  if (answer.status === 'absent') return;
  // The server stops listening once the file is synced and closed for good, and the connection ends with the process.
  while (answer.status === 'closed' && performance.now() < deadline) {
    answer = await ask(socketPath, 'PING', ORPHAN_MS);
    if (answer.status === 'absent') {
      log.warn({ redisPid: pid }, 'shut down the Redis server that a killed aizumi had left running');
      return;
    }
    await delay(10);
  }
  const trouble =
    answer.status === 'replied'
      ? `refuses to shut down (${answer.reply})`
      : `does not answer for ${ORPHAN_MS / 1000} s`;
  throw new Error(
    `the Redis server that a killed aizumi left running (pid ${pid}) ${trouble}: ` +
      `end it with \`kill -9 ${pid}\` and start again; no acknowledged message is lost by that`,
  );
}

async function readPid(pidfile: string): Promise<string> {
  try {
    return (await readFile(pidfile, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'unknown';
    throw error;
  }
}

/** A server that is killed while it rewrites its file leaves the unfinished one, as large as all data, and never removes it. */
async function removeHalfRewrites(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter((name) => /^temp-rewriteaof-.*\.aof$/.test(name));
  await Promise.all(names.map((name) => rm(join(dir, name), { force: true })));
}
