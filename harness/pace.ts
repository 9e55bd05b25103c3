// An open loop: requests fall due at an even rate, whether or not the answers before have come. (autocannon's own `overallRate` lets every
// connection spend its share at the start of each second, as fast as it can: bursts at full load, and then silence.)

/** Whose turn it is gets the time at which its request was due: a late turn counts as latency. */
export type Turn = (dueMs: number) => void;

export interface Pacer {
  /** Calls back when the next request is due: at once, if one is overdue because no connection was free. */
  enter(turn: Turn): void;
  /** Lets everybody through from now on. */
  stop(): void;
}

/** What timers can do: what falls due within a millisecond leaves together. */
const TICK_MS = 1;

export function createPacer(perSecond: number): Pacer {
  const waiting: Turn[] = [];
  const startMs = performance.now();
  const intervalMs = 1000 / perSecond;
  let given = 0;
  let stopped = false;
  const isDue = (): boolean => startMs + given * intervalMs <= performance.now();
  const give = (turn: Turn): void => turn(startMs + given++ * intervalMs);
  const timer = setInterval(() => {
    while (waiting.length > 0 && isDue()) give(waiting.shift()!);
  }, TICK_MS);
  return {
    enter(turn) {
      if (stopped) turn(performance.now());
      else if (waiting.length === 0 && isDue()) give(turn);
      else waiting.push(turn);
    },
    stop() {
      stopped = true;
      clearInterval(timer);
      for (const turn of waiting.splice(0)) turn(performance.now());
    },
  };
}
