// Several workers on one port: forks them, replaces those that die, stops them all.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { Config } from './config/config.js';
import { DRAIN_MS } from './config/limits.js';

/** A worker that dies within this time of its start is replaced only after RESTART_MS: no fork storm. */
const QUICK_DEATH_MS = 1_000;
const RESTART_MS = 500;
/** Workers that have not ended this long after AIZUMI_DRAIN_DELAY_MS are killed. */
const STOP_MS = DRAIN_MS + 500;

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
  const handOver = watchHandOver(() => !replacing);

  const fork = (): Worker => {
    const bornMs = Date.now();
    const worker = cluster.fork();
    handOver(worker);
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

/** What node:cluster sends to a worker and gets back, lib/internal/cluster/utils.js; a connection is `newconn`. */
interface ClusterMessage {
  act?: string;
  seq?: number;
  ack?: number;
  accepted?: boolean;
}

interface Connection {
  close(): void;
}

/**
 * Closes the connections that nobody will serve: those that a worker was given and died before it took, and those that the last
 * one to stop did not take. node:cluster keeps them open, and their clients would wait as long as this process lives.
 * @returns what is to be called with each new worker
 */
function watchHandOver(isStopping: () => boolean): (worker: Worker) => void {
  const givenTo = new Map<Connection, Worker>();
  return (worker) => {
    const numbered = new Map<number, Connection>();
    const child = worker.process;
    const send = child.send.bind(child) as (...args: unknown[]) => boolean;
    child.send = (message: ClusterMessage, connection?: unknown, ...more: unknown[]): boolean => {
      if (message.act === 'newconn') {
        numbered.set(message.seq as number, connection as Connection);
        givenTo.set(connection as Connection, worker);
      }
      return send(message, connection, ...more);
    };
    // after node:cluster's own listener, which gives what was not accepted to another worker, if there is one
    child.on('internalMessage', ({ ack, accepted }: ClusterMessage) => {
      const connection = ack === undefined ? undefined : numbered.get(ack);
      if (connection === undefined) return;
      numbered.delete(ack as number);
      if (givenTo.get(connection) !== worker) return;
      givenTo.delete(connection);
      if (!accepted && isStopping()) connection.close();
    });
    child.once('exit', () => {
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
