// One scenario on one stack: start, break, heal, drain, check.
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
  /** Each message is sent at one of them, by chance. */
  levels: readonly Level[];
  /** Leaves out calm times and does not wait until a node that came back has a replica's place again, about 10 s. */
  short?: boolean;
  /** One of many on this stack: as short, and the stack is whole again afterwards because it is helped. */
  isRound?: boolean;
  /** That run already, and go on to run; default: new ones for this run. */
  workers?: readonly ChaosWorker[] | undefined;
  /** Ids of messages begin here, for workers that have had some. */
  firstMessage?: number;
}

export interface Resumption {
  fault: string;
  kind: FaultWindow['kind'];
  /** The longest time that a queue was without an acknowledged SEND. */
  silenceMs: number;
  /** Whether service should have come back in time. */
  isPromised: boolean;
}

export interface Result extends RunOptions {
  /** What the verdict is about. */
  history: History;
  verdict: Verdict;
  resumptions: Resumption[];
  /** What the workers' logs tell of bugs. */
  errors: string[];
  seconds: number;
}

const LEASE_MS = 2_000;
const WORKERS = 2;
/** Of a third of the slots: received from all the time; left alone until the end. */
const QUEUES = { queues: 2, stored: 1 };
const WARM_UP_MS = 1_500;
const ROUND_WARM_UP_MS = 700;
/** After each fault: long enough to see whether the service comes back. */
const CALM_MS = 3_000;
const SHORT_CALM_MS = 1_500;
/** For so long a Sentinel may name the old primary after another was elected: they tell each other every 2 s. */
const HELLO_MS = 2_500;
const HEAL_MS = 30_000;
const ROUND_HEAL_MS = 15_000;
const DRAIN_MS = 30_000;

/** @param stack whole; whole again afterwards, unless the run is a short one */
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
  // the schedule has a stream of its own: how often clients draw depends on timing
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
      // what is not whole is not used for the next round, but this one is judged
      await stack.whole(ROUND_HEAL_MS).catch((error: unknown) => console.log(`  ${String(error)}`));
    } else if (!short) await stack.whole(HEAL_MS);
    if (leave) await load.leave();
    await load.drain(DRAIN_MS);
    const resumptions: Resumption[] = history.faults.map((fault, i) => ({
      fault: fault.name,
      kind: fault.kind,
      // idle senders see little of the service
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

/** The workers of a scenario; whoever starts them stops them. */
export function workersFor({ url }: Stack, name: string): Promise<ChaosWorker[]> {
  const { jumpingClocks = false, idle = false } = SCENARIOS[name]!;
  return startWorkers(idle ? WORKERS + 1 : WORKERS, { redisUrl: url, leaseMs: LEASE_MS, jumpingClocks });
}

const errorsOf = (workers: readonly ChaosWorker[]): string[] => workers.flatMap((worker) => worker.errors());

/** Addresses: in a Cluster, some in each third of the slots. */
async function queuesOn({ nodes }: Stack): Promise<{ queues: number[]; stored: number[] }> {
  const found = { queues: [] as number[], stored: [] as number[] };
  const thirds = [0, 1, 2].map(() => ({ ...QUEUES }));
  for (let address = 100; thirds.some((left) => left.queues + left.stored > 0); address++) {
    // a Redis that is in no Cluster refuses the question
    const slot = await ask(nodes[0]!.port, 'CLUSTER', 'KEYSLOT', String(address)).catch(() => undefined);
    const left = thirds[slot === undefined ? address % 3 : Math.floor((Number(slot) * 3) / 16_384)]!;
    const kind = left.queues > 0 ? 'queues' : 'stored';
    if (left[kind]-- > 0) found[kind].push(address);
  }
  return found;
}
