// Signals, handled from the process's first moment: without handlers, SIGHUP and SIGUSR2 would end the process, and process 1
// of a container would ignore SIGTERM.
import cluster from 'node:cluster';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
export type Signal = (typeof SIGNALS)[number];

/** How often a broker that npm started checks whether npm still runs. */
const PARENT_MS = 250;

const early: Signal[] = [];
let listener = (signal: Signal): void => void early.push(signal);
for (const signal of SIGNALS) process.on(signal, () => listener(signal));
if (cluster.isPrimary && process.env.npm_lifecycle_event === 'start') endWithParent();

/**
 * npm forwards SIGTERM and SIGINT (since npm 10), but not SIGHUP, and SIGKILL cannot be forwarded: the broker of `npm start`
 * stops when npm has ended, as for SIGHUP. Without npm the parent may end: `node dist/index.js &` outlives its shell.
 */
function endWithParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    listener('SIGHUP');
  }, PARENT_MS).unref();
}

/** Calls `to` for every signal from now on, and at once for those that arrived before. */
export function listenForSignals(to: (signal: Signal) => void): void {
  listener = to;
  early.splice(0).forEach(to);
}
