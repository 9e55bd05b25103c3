// npx tsx chaos/planned-stops.ts [--rounds 20] [--seed N]
// Stops the primary's node under load as an orchestrator does (SIGTERM to deploy/init.sh), and restarts it. No message that was
// acknowledged at any level may be lost, and no request refused or left with an unknown outcome: the primary hands over first.
// Prints a row for docs/durability.md at the end. Exits with 1 if a promise was broken.
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { median } from '../harness/measure.js';
import { PASSWORD, startScriptedStack } from '../harness/scripted-stack.js';
import type { ScriptedStack } from '../harness/scripted-stack.js';
import { check, longestSilence } from './checker.js';
import type { Verdict } from './checker.js';
import { startLoad } from './clients.js';
import { LEVELS, emptyHistory } from './history.js';
import type { FaultWindow, History } from './history.js';
import { seeded } from '../harness/random.js';
import { violations } from './report.js';
import { startWorkers } from './workers.js';
import type { ChaosWorker } from './workers.js';

const LEASE_MS = 2_000;
const CALM_MS = 1_500;
const DRAIN_MS = 30_000;
const WHOLE_MS = 60_000;
/** As in k8s/overlays/production. */
const DURABILITY_TIMEOUT_MS = 3_000;
/** Addresses that are received from throughout; addresses that are received from only at the end of the round. */
const [QUEUES, STORED] = [[100, 101], [102]];

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});

interface Outcome {
  verdict: Verdict;
  refused: number;
  unknown: number;
  silenceMs: number;
  broken: string[];
}

async function round(stack: ScriptedStack, workers: readonly ChaosWorker[], number: number): Promise<Outcome> {
  const seed = Number(values.seed) + number;
  const startMs = performance.now();
  const history = emptyHistory(LEASE_MS);
  const urls = workers.map(({ url }) => url);
  const options = { urls, queues: QUEUES, stored: STORED, levels: LEVELS, firstMessage: 1 + number * 100_000 };
  const load = startLoad({ ...options, random: seeded(seed) }, history);
  const fault: FaultWindow = { name: 'the primary told to stop', kind: 'other', fromMs: 0, toMs: Infinity };
  try {
    await pause(CALM_MS);
    const old = await stack.whole(WHOLE_MS);
    fault.fromMs = performance.now();
    history.faults.push(fault);
    stack.tell(old, 'redis');
    await stack.ended(old, 'redis');
    await pause(CALM_MS);
    fault.toMs = performance.now();
    await load.stop();
    stack.restart(old);
    await stack.whole(WHOLE_MS);
  } finally {
    await load.stop();
  }
  await load.drain(DRAIN_MS);
  const verdict = check(history);
  const silenceMs = longestSilence(history.attempts, fault.fromMs, fault.toMs);
  const resumption = { fault: fault.name, kind: fault.kind, silenceMs, isPromised: true };
  const seconds = (performance.now() - startMs) / 1_000;
  const result = { scenario: 'planned-stop', seed, levels: LEVELS, history, verdict, errors: [], seconds };
  return {
    verdict,
    ...answersOf(history),
    silenceMs,
    broken: violations({ ...result, isRound: true, resumptions: [resumption] }),
  };
}

/** Does not count RECVs, since one from an empty queue counts as refused as well. */
function answersOf({ attempts, frees }: History): { refused: number; unknown: number } {
  const requests = [...attempts, ...frees];
  const count = (kind: string): number => requests.filter(({ answer }) => answer === kind).length;
  return { refused: count('refused'), unknown: count('unknown') };
}

const stack = await startScriptedStack();
const sentinels = stack.nodes.map((node) => `${node}:26379`).join(',');
const workers = await startWorkers(2, {
  redisUrl: `redis+sentinel://:${PASSWORD}@${sentinels}/mymaster`,
  leaseMs: LEASE_MS,
  durabilityTimeoutMs: DURABILITY_TIMEOUT_MS,
});
const outcomes: Outcome[] = [];
try {
  for (let number = 0; number < Number(values.rounds); number++) {
    const outcome = await round(stack, workers, number);
    outcomes.push(outcome);
    const { refused, unknown, silenceMs, broken } = outcome;
    console.log(`round ${number}: ${refused} refused, ${unknown} unknown, silence ${Math.round(silenceMs)} ms`);
    for (const promise of broken) console.log(`  BROKEN: ${promise}`);
  }
} finally {
  await Promise.all(workers.map((worker) => worker.stop()));
  stack.stop();
}
const sum = (figure: (outcome: Outcome) => number): number => outcomes.reduce((total, each) => total + figure(each), 0);
const acknowledged = LEVELS.map((level) => sum(({ verdict }) => verdict.levels[level].acknowledged));
const lost = sum(({ verdict }) => LEVELS.reduce((total, level) => total + verdict.levels[level].lost.length, 0));
const silences = outcomes.map(({ silenceMs }) => silenceMs);
console.log(
  `planned stops × ${outcomes.length}: ${acknowledged.join(' / ')} acknowledged (${LEVELS.join(' / ')}), ${lost} lost, ` +
    `${sum(({ refused }) => refused)} refused, ${sum(({ unknown }) => unknown)} unknown, ` +
    `longest without an acknowledged SEND: median ${Math.round(median(silences))} ms, most ${Math.round(Math.max(...silences))} ms`,
);
process.exit(outcomes.every(({ broken }) => broken.length === 0) ? 0 : 1);
