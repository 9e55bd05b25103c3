// Every goal that bench judges by, once. A CPU ratio compares with what the row names.

export const GOALS = {
  /** Worker CPU of a request, divided by the baseline's (bench/floor.mjs). */
  send: 1.25,
  recv: 1.5,
  free: 1.3,
  /** Worker µs of a SEND in a body of a hundred. */
  batchMicros: 6,
  /** Redis CPU of SEND + RECV + FREE, divided by that of native commands. */
  cycle: 1.5,
  wakeMs: 5,
  /** Redis memory of a million waiting messages of 100 bytes. */
  waitingMb: 160,
  workerMb: 150,
  /** CPU with keys, metrics and limits, divided by that without. */
  guarded: 1.15,
  /** CPU as there is more of everything, divided by that at the first value. */
  flat: 1.1,
  /** p99 divided by p50, at half of the saturation rate. */
  p99OverP50: 3,
  /** SEND at quorum beside primary: CPU ratio, share of requests/s, ms that p50 at one connection may grow by. */
  quorum: { cpu: 1.25, throughput: 0.65, delayMs: 1 },
  quorumMissing: { cpu: 1.5, throughput: 0.52, delayMs: 1.2 },
  /** SEND through a Cluster beside one Redis. */
  cluster: 1.15,
  /** Beside a flood: p99 may be this many times what it is alone, or this many ms, whichever is more. */
  besideFlood: { times: 3, ms: 50 },
} as const;

export interface Judged {
  goal: string;
  met: string;
}

/** The last two columns of a row. A value is judged as it is shown, so that 1.25 does not miss 1.25. */
export const atMost = (value: number, goal: number): Judged => ({
  goal: `≤ ${goal}`,
  met: Math.round(value * 100) <= goal * 100 ? 'met' : 'MISSED',
});

export const atLeast = (value: number, goal: number): Judged => ({
  goal: `≥ ${goal}`,
  met: Math.round(value * 100) >= goal * 100 ? 'met' : 'MISSED',
});
