// The load and the checker of npm run chaos, through the balancer.
import { setTimeout as pause } from 'node:timers/promises';
import { check, longestSilence } from '../../chaos/checker.js';
import { startLoad } from '../../chaos/clients.js';
import { emptyHistory } from '../../chaos/history.js';
import type { FaultWindow, History } from '../../chaos/history.js';
import { seeded } from '../../harness/random.js';
import { violations } from '../../chaos/report.js';
import type { Result } from '../../chaos/run.js';
import { LEASE_MS, url } from './stack.js';

export interface Fault {
  name: string;
  kind: FaultWindow['kind'];
  /** Whether service is required to resume within 5 s. */
  isPromised?: boolean;
  /** How long the load continues after the fault; by default until a fail-over has surely ended. */
  calmMs?: number;
  strike: () => Promise<unknown>;
}

const WARM_UP_MS = 1_500;
const CALM_MS = 5_000;
/** See chaos/run.ts. */
const HELLO_MS = 2_500;
const DRAIN_MS = 45_000;

export interface Watched {
  history: History;
  violations: string[];
  acknowledged: number;
  /** After each fault, ms. */
  silences: string[];
}

/**
 * Causes a fault under load, waits for recovery, drains and checks. Every SEND is at `all`, which survives a fail-over to a
 * replica in sync.\n * @param options.first an address that only this run uses, as well as the next two
 * @param options.heal resolves when the stack is complete again
 */
export async function watch(
  faults: Fault[],
  { first, heal }: { first: number; heal: () => Promise<void> },
): Promise<Watched> {
  const seed = Math.floor(Math.random() * 1e9);
  const history = emptyHistory(LEASE_MS);
  const levels = ['all'] as const;
  const load = startLoad(
    { urls: [url], queues: [first, first + 1], stored: [first + 2], levels, random: seeded(seed) },
    history,
  );
  const startMs = performance.now();
  try {
    await pause(WARM_UP_MS);
    for (const { name, kind, calmMs = CALM_MS, strike } of faults) {
      const window: FaultWindow = { name, kind, fromMs: performance.now(), toMs: Infinity };
      history.faults.push(window);
      await strike();
      await pause(calmMs);
      window.toMs = performance.now() + (kind === 'failover' ? HELLO_MS : 0);
    }
  } finally {
    await load.stop();
  }
  const endMs = performance.now();
  await heal();
  await load.drain(DRAIN_MS);
  const verdict = check(history);
  const resumptions = history.faults.map((fault, i) => ({
    fault: fault.name,
    kind: fault.kind,
    isPromised: faults[i]!.isPromised ?? true,
    silenceMs: longestSilence(history.attempts, fault.fromMs, history.faults[i + 1]?.fromMs ?? endMs),
  }));
  const seconds = (endMs - startMs) / 1000;
  const result: Result = { scenario: 'compose', seed, levels, history, verdict, resumptions, errors: [], seconds };
  return {
    history,
    violations: violations(result),
    acknowledged: verdict.levels.all.acknowledged,
    silences: resumptions.map(({ fault, silenceMs }) => `${fault}: ${Math.round(silenceMs)} ms`),
  };
}
