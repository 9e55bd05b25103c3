// Several workers on one port: forks them, replaces those that die, stops them all.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { Config } from './config/config.js';
import { watchHandOver } from './http/server/private-api.js';
import type { Handle } from './http/server/private-api.js';

/** A worker that dies within this time of its start is replaced only after RESTART_MS: no fork storm. */
const QUICK_DEATH_MS = 1_000;
const RESTART_MS = 500;
/** Workers get this long to drain, behind AIZUMI_DRAIN_DELAY_MS, before they are killed; they need at most 9 s (http/server). */
const STOP_MS = 9_500;

export interface Supervisor {
  readonly port: number;
  stop(): Promise<void>;
}

/** What a forked worker cannot know from its own environment; handed over as arguments of its process. No secrets. */
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
      log.error({ pid: worker.process.pid, code, signal }, 'a worker died; another takes its place');
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

/** Resolves when all workers are gone; those that live longer than `withinMs` are killed. */
async function endWorkers(signal: NodeJS.Signals, withinMs: number): Promise<void> {
  const workers = Object.values(cluster.workers ?? {}).filter(
    (worker) => worker !== undefined && !worker.isDead(),
  ) as Worker[];
  const gone = workers.map((worker) => once(worker, 'exit'));
  workers.forEach((worker) => worker.process.kill(signal));
  const kill = setTimeout(() => workers.forEach((worker) => worker.process.kill('SIGKILL')), withinMs);
  await Promise.all(gone);
  clearTimeout(kill);
}

/**
 * Closes the connections that nobody will serve: those that a worker was given and died before it took, and those that the last
 * one to stop did not take. node:cluster keeps them open, and their clients would wait as long as this process lives.
 * @returns what is to be called with each new worker
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
      reject(new Error(`a worker ended with code ${code} before it could listen: its own words are above`)),
    );
  });
}
