// What signals ask for, heard from the first instant: a process without handlers ends at SIGHUP and SIGUSR2, and the first process of a
// container does not hear SIGTERM.

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
export type Signal = (typeof SIGNALS)[number];

const early: Signal[] = [];
let listener = (signal: Signal): void => void early.push(signal);
for (const signal of SIGNALS) process.on(signal, () => listener(signal));

/** From now on `to` is told of every signal; at once of those that came before. */
export function listenForSignals(to: (signal: Signal) => void): void {
  listener = to;
  early.splice(0).forEach(to);
}
