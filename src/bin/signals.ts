// What signals ask for, heard from the first instant: a process without handlers ends at SIGHUP and SIGUSR2, and the first process of a
// container does not hear SIGTERM.
import cluster from 'node:cluster';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
export type Signal = (typeof SIGNALS)[number];

/** How often a broker that npm runs checks whether npm is still there. */
const PARENT_MS = 250;

const early: Signal[] = [];
let listener = (signal: Signal): void => void early.push(signal);
for (const signal of SIGNALS) process.on(signal, () => listener(signal));
if (cluster.isPrimary && process.env.npm_lifecycle_event === 'start') endWithParent();

/**
 * npm forwards SIGTERM and SIGINT (since npm 10), but not SIGHUP, and nobody can forward SIGKILL: the broker of `npm start` stops
 * when npm has gone, as for SIGHUP. Elsewhere a parent may go as it likes: `node dist/index.js &` outlives its shell.
 */
function endWithParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    listener('SIGHUP');
  }, PARENT_MS).unref();
}

/** From now on `to` is told of every signal; at once of those that came before. */
export function listenForSignals(to: (signal: Signal) => void): void {
  listener = to;
  early.splice(0).forEach(to);
}
