// Runs one scenario on one stack: start, fault, recovery, drain, check.
import { setTimeout as pause } from 'node:timers/promises';
import { ask } from '../harness/ask.js';
import type { Stack } from '../harness/stacks.js';
import { check, longestSilence } from './checker.js';
import type { Verdict } from './checker.js';
import { startLoad } from './clients.js';
import { makeFollow } from './elections.js';
import type { Fault, Victims } from './fault.js';
import { FAULTS } from './faults.js';
import { emptyHistory } from './history.js';
import type { FaultWindow, History, Level } from './history.js';
import { seeded } from '../harness/random.js';
import { SCENARIOS } from './scenarios.js';
import { startWorkers } from './workers.js';
import type { ChaosWorker } from './workers.js';

export interface RunOptions {
  scenario: string;
  seed: number;
  /** Each message is sent at one of these, chosen at random. */
  levels: readonly Level[];
  /** Skips the calm times, and does not wait (about 10 s) until a returned node is a replica again. */
  short?: boolean;
  /** One of many rounds on this stack: short, too, but the stack is actively restored afterwards. */
  isRound?: boolean;
  /** Running workers that are kept; default: new ones for this run. */
  workers?: readonly ChaosWorker[] | undefined;
  /** First id of the messages, for workers that have handled earlier ones. */
  firstMessage?: number;
}

export interface Resumption {
  fault: string;
  kind: FaultWindow['kind'];
  /** The longest time without an acknowledged SEND to a queue. */
  silenceMs: number;
  /** Whether service was required to resume in time. */
  isPromised: boolean;
}

export interface Result extends RunOptions {
  /** The history that the verdict is about. */
  history: History;
  verdict: Verdict;
  resumptions: Resumption[];
  /** Signs of bugs in the workers' logs. */
  errors: string[];
  seconds: number;
}

const LEASE_MS = 2_000;
const WORKERS = 2;
/** Addresses per third of the slots: received from throughout, and received from only at the end. */
const QUEUES = { queues: 2, stored: 1 };
const WARM_UP_MS = 1_500;
const ROUND_WARM_UP_MS = 700;
/** Pause after each fault, long enough to see whether service resumes. */
const CALM_MS = 3_000;
const SHORT_CALM_MS = 1_500;
/** How long a Sentinel may still name the old primary after an election: they inform each other every 2 s. */
const HELLO_MS = 2_500;
const HEAL_MS = 30_000;
const ROUND_HEAL_MS = 15_000;
const DRAIN_MS = 30_000;

/** @param stack is complete before, and complete again afterwards unless the run is short */
export async function runScenario(stack: Stack, options: RunOptions): Promise<Result> {
  const startMs = performance.now();
  const { seed, levels, isRound = false, firstMessage = 1 } = options;
  const short = options.short === true || isRound;
  const scenario = SCENARIOS[options.scenario]!;
  const calmMs = short ? SHORT_CALM_MS : CALM_MS;
  const random = seeded(seed);
  const { leave = false, breaksOff = false } = scenario;
  const workers = options.workers ?? (await workersFor(stack, options.scenario));
  const errorsBefore = errorsOf(workers).length;
  const history = emptyHistory(LEASE_MS);
  const urls = workers.map(({ url }) => url);
  const idle = scenario.idle && { url: urls.pop()! };
  const { queues, stored } = await queuesOn(stack);
  // the schedule has a random sequence of its own, because how often clients draw numbers depends on timing
  const load = startLoad(
    { urls, queues, stored, levels, random: seeded(seed + 1), idle, breaksOff, firstMessage },
    history,
  );
  const victims: Victims = { stack, workers, random, queues: [...queues, ...stored], wake: () => load.wake() };
  try {
    await pause((isRound ? ROUND_WARM_UP_MS : WARM_UP_MS) + random.between(0, 500));
    for (const fault of scenario.faults) {
      const window: FaultWindow = { name: fault, kind: FAULTS[fault].kind, fromMs: performance.now(), toMs: Infinity };
      history.faults.push(window);
      await (FAULTS[fault] as Fault).strike(victims, window);
      window.toMs = performance.now() + (window.kind === 'failover' ? HELLO_MS : 0);
      await pause(calmMs);
    }
    if (scenario.faults.length === 0) await pause(2 * calmMs);
    const endMs = performance.now();
    await load.stop();
    if (isRound) {
      await makeFollow(stack);
      // an incomplete stack is not used for the next round, but this round is still checked
      await stack.whole(ROUND_HEAL_MS).catch((error: unknown) => console.log(`  ${String(error)}`));
    } else if (!short) await stack.whole(HEAL_MS);
    if (leave) await load.leave();
    await load.drain(DRAIN_MS);
    const resumptions: Resumption[] = history.faults.map((fault, i) => ({
      fault: fault.name,
      kind: fault.kind,
      // idle senders send too rarely to measure the interruption
      isPromised: !scenario.idle && (FAULTS[fault.name as keyof typeof FAULTS] as Fault).majorityDies !== true,
      silenceMs: longestSilence(history.attempts, fault.fromMs, history.faults[i + 1]?.fromMs ?? endMs),
    }));
    const errors = errorsOf(workers).slice(errorsBefore);
    const seconds = (performance.now() - startMs) / 1000;
    return { ...options, history, verdict: check(history), resumptions, errors, seconds };
  } finally {
    await load.stop();
    if (!options.workers) await Promise.all(workers.map((worker) => worker.stop()));
    if (scenario.needs === 'clock') stack.nodes.forEach((node) => node.setClock(0));
  }
}

/** Starts the workers of a scenario; the caller stops them. */
export function workersFor({ url }: Stack, name: string): Promise<ChaosWorker[]> {
  const { jumpingClocks = false, idle = false } = SCENARIOS[name]!;
  return startWorkers(idle ? WORKERS + 1 : WORKERS, { redisUrl: url, leaseMs: LEASE_MS, jumpingClocks });
}

const errorsOf = (workers: readonly ChaosWorker[]): string[] => workers.flatMap((worker) => worker.errors());

/** Chooses addresses: in a Cluster, some in each third of the slots. */
async function queuesOn({ nodes }: Stack): Promise<{ queues: number[]; stored: number[] }> {
  const found = { queues: [] as number[], stored: [] as number[] };
  const thirds = [0, 1, 2].map(() => ({ ...QUEUES }));
  for (let address = 100; thirds.some((left) => left.queues + left.stored > 0); address++) {
    // a Redis outside of a Cluster refuses this command
    const slot = await ask(nodes[0]!.port, 'CLUSTER', 'KEYSLOT', String(address)).catch(() => undefined);
    const left = thirds[slot === undefined ? address % 3 : Math.floor((Number(slot) * 3) / 16_384)]!;
    const kind = left.queues > 0 ? 'queues' : 'stored';
    if (left[kind]-- > 0) found[kind].push(address);
  }
  return found;
}
