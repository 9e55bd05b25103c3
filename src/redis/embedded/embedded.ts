// The embedded Redis server: started when AIZUMI_REDIS_URL is not set, private to this aizumi and its data folder.
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
  /** Holds all data; created if missing; one aizumi at a time. */
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
  /** Ends the server, removes its sockets and gives the data folder up. */
  stop(): Promise<void>;
}

const ORPHAN_MS = 5000;

/**
 * Starts a Redis server on `dataDir` and starts it again whenever it dies, until `stop()`.
 * Resolves when it answers PING, which it does when it has loaded its data.
 * Rejects with what to do: no (fitting) program, folder in use or not usable,
 * data that the server would not load, server does not start.
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
    await folder.release(); // and no more: what else is there may belong to a server left over
    throw error;
  }

  async function cleanUp(): Promise<void> {
    await rm(socketPath, { force: true });
    await rm(pidfile, { force: true });
    await folder.release();
  }
}

/**
 * Shuts down the server that a killed aizumi left running; nobody else uses it, for we have the folder's lock.
 *
 * NOSAVE leaves out an RDB snapshot and nothing else: SHUTDOWN writes and fsyncs the append-only file in either case
 * (finishShutdown in server.c of Redis and Valkey; https://redis.io/docs/latest/commands/shutdown/),
 * and it is the form that also a server busy with a script obeys.
 */
async function endOrphan(socketPath: string, pidfile: string, log: Logger): Promise<void> {
  const pid = await readPid(pidfile);
  const deadline = performance.now() + ORPHAN_MS;
  let answer = await ask(socketPath, 'SHUTDOWN NOSAVE', ORPHAN_MS);
  if (answer.status === 'absent') return;
  // It stops to listen when the file is synced and closed for good, and the connection ends when the process does.
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

/** A server killed while it rewrote its file leaves the new one half done, as large as all data, and never reads or removes it. */
async function removeHalfRewrites(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter((name) => /^temp-rewriteaof-.*\.aof$/.test(name));
  await Promise.all(names.map((name) => rm(join(dir, name), { force: true })));
}
