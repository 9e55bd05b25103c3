// An open loop: requests are due at an even rate, whether or not earlier replies have arrived. (With autocannon's rate, a
// connection sends its share at the start of each second as fast as it can: bursts at full load, then silence.)

/** Called with the time at which the request was due, so that a late turn counts as latency. */
export type Turn = (dueMs: number) => void;

export interface Pacer {
  /** Calls back when the next request is due: at once, if one is overdue because no connection was free. */
  enter(turn: Turn): void;
  /** Lets all requests through from now on. */
  stop(): void;
}

/** The resolution of timers: requests due within the same millisecond are sent together. */
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
