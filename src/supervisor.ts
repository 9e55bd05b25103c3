// Several workers on one port: the supervisor forks them, replaces those that die, and stops them all.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { Config } from './config/config.js';
import { DRAIN_MS } from './config/limits.js';
import { watchHandOver } from './http/server/private-api.js';
import type { Handle } from './http/server/private-api.js';

/** A worker that dies within this time of its start is replaced only after RESTART_MS, to avoid a fork storm. */
const QUICK_DEATH_MS = 1_000;
const RESTART_MS = 500;
/** Workers that have not ended this long after AIZUMI_DRAIN_DELAY_MS are killed. */
const STOP_MS = DRAIN_MS + 500;

export interface Supervisor {
  readonly port: number;
  stop(): Promise<void>;
}

/** What a forked worker cannot read from its environment: passed as arguments of its process, which must not be secrets. */
export const fromSupervisor = (): { startedAtMs: number; embeddedUrl: string } => {
  const [startedAtMs, embeddedUrl = ''] = process.argv.slice(2);
  return { startedAtMs: Number(startedAtMs), embeddedUrl };
};

/**
 * Forks the workers.
 * @returns once all of them listen
 * @throws Error when one dies before it listens for the first time
 */
export async function superviseWorkers(
  { workers: count, probePort, drainDelayMs }: Config,
  startedAtMs: number,
  embeddedUrl: string,
  log: Logger,
): Promise<Supervisor> {
  cluster.setupPrimary({ args: [String(startedAtMs), embeddedUrl] });
  let replacing = false;
  const closeUnservedOf = closeUnserved(() => !replacing);

  const fork = (): Worker => {
    const bornMs = Date.now();
    const worker = cluster.fork();
    closeUnservedOf(worker);
    worker.on('exit', (code: number, signal: string | null) => {
      if (!replacing) return;
      log.error({ pid: worker.process.pid, code, signal }, 'a worker died and is replaced');
      setTimeout(() => replacing && fork(), Date.now() - bornMs < QUICK_DEATH_MS ? RESTART_MS : 0);
    });
    return worker;
  };

  try {
    const ports = await Promise.all(Array.from({ length: count }, () => listening(fork(), probePort)));
    replacing = true;
    return {
      port: ports[0] as number,
      async stop() {
        replacing = false;
        await endWorkers('SIGTERM', drainDelayMs + STOP_MS);
      },
    };
  } catch (error) {
    await endWorkers('SIGKILL', STOP_MS);
    throw error;
  }
}

/** Resolves when all workers have ended; those that have not ended after `timeoutMs` are killed. */
async function endWorkers(signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
  const workers = Object.values(cluster.workers ?? {}).filter(
    (worker) => worker !== undefined && !worker.isDead(),
  ) as Worker[];
  const ended = workers.map((worker) => once(worker, 'exit'));
  workers.forEach((worker) => worker.process.kill(signal));
  const kill = setTimeout(() => workers.forEach((worker) => worker.process.kill('SIGKILL')), timeoutMs);
  await Promise.all(ended);
  clearTimeout(kill);
}

/**
 * Closes connections that no worker will serve: those handed to a worker that died before it accepted them, and those that the
 * last worker to stop did not accept. node:cluster keeps them open, and their clients would wait as long as this process runs.
 * @returns a function to be called with each new worker
 */
function closeUnserved(isStopping: () => boolean): (worker: Worker) => void {
  const givenTo = new Map<Handle, Worker>();
  return (worker) => {
    const numbered = new Map<number, Handle>();
    watchHandOver(worker, {
      onGiven(seq, connection) {
        numbered.set(seq, connection);
        givenTo.set(connection, worker);
      },
      // node:cluster has given what was not accepted to another worker by then, if there is one
      onAnswered(seq, isAccepted) {
        const connection = numbered.get(seq);
        if (connection === undefined) return;
        numbered.delete(seq);
        if (givenTo.get(connection) !== worker) return;
        givenTo.delete(connection);
        if (!isAccepted && isStopping()) connection.close();
      },
    });
    worker.process.once('exit', () => {
      for (const [connection, to] of givenTo) {
        if (to !== worker) continue;
        connection.close();
        givenTo.delete(connection);
      }
    });
  };
}

function listening(worker: Worker, probePort: number | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.on('listening', ({ port }) => {
      if (port !== probePort) resolve(port);
    });
    worker.once('exit', (code: number) =>
      reject(new Error(`a worker ended with code ${code} before it could listen: its own log lines are above`)),
    );
  });
}
