// npm run chaos -- [--seed N] [--stack sentinel|cluster] [--level primary|quorum|all] [--scenario NAME] [--short]
//                  [--rounds N [--markdown] [--out FILE]] | --list
// Makes real processes fail under load and checks whether all promises were kept. Without options: all scenarios, on
// both stacks, each message at a random level. Exits with 1 if a promise was broken.
// --rounds repeats each scenario on one stack with the next seeds and sums up; --out appends a line of JSON per round.
import { appendFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startClusterStack, startSentinelStack } from '../harness/stacks.js';
import type { Stack } from '../harness/stacks.js';
import { NO_CLOCK, clockLibrary } from '../harness/clock.js';
import type { Fault } from './fault.js';
import { FAULTS } from './faults.js';
import { LEVELS } from './history.js';
import type { Level } from './history.js';
import { roundOf, serverOf, tables, violations } from './report.js';
import type { Round } from './report.js';
import { runScenario, workersFor } from './run.js';
import type { Result } from './run.js';
import { SCENARIOS } from './scenarios.js';
import type { ChaosWorker } from './workers.js';

const clock = clockLibrary();
const STACKS: Readonly<Record<string, (replicasEach: number) => Promise<Stack>>> = {
  sentinel: () => startSentinelStack({ clock }),
  // a replica that migrated would be missing from its shard in all later rounds
  cluster: (replicasEach) => startClusterStack({ clock, replicasEach, migration: replicasEach === 1 }),
};

const {
  values: { short, ...values },
} = parseArgs({
  options: {
    seed: { type: 'string' },
    stack: { type: 'string' },
    level: { type: 'string' },
    scenario: { type: 'string' },
    short: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    out: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});
if (values.list) {
  for (const [name, { faults }] of Object.entries(SCENARIOS)) console.log(name.padEnd(32) + faults.join(', '));
  process.exit(0);
}

/** A stack that is not complete by then is replaced: the previous run has already waited for it. */
const WHOLE_MS = 2_000;
/** More than a round sends. */
const ROUND_MESSAGES = 100_000;

/** The values that an option selects: one of `all`, or all of them. @throws Error that lists them */
function chosen<T extends string>(option: string, value: string | undefined, all: readonly T[]): readonly T[] {
  if (value === undefined) return all;
  if (!all.includes(value as T)) throw new Error(`--${option} is one of ${all.join(', ')}`);
  return [value as T];
}

const isWhole = (stack: Stack): Promise<boolean> =>
  stack.whole(WHOLE_MS).then(
    () => true,
    () => false,
  );

/** A stack that is reused until a different one is needed. */
class Stage {
  #stack: Stack | undefined;
  #shape = '';
  #workers: ChaosWorker[] = [];
  #workersOf = '';

  constructor(readonly name: string) {}

  async stack(replicasEach: number): Promise<Stack> {
    const shape = this.name === 'cluster' ? String(replicasEach) : '';
    if (this.#stack && shape === this.#shape && (await isWhole(this.#stack))) return this.#stack;
    await this.clear();
    this.#shape = shape;
    return (this.#stack = await STACKS[this.name]!(replicasEach));
  }

  /** The workers of a scenario for all its rounds; new ones for each round where one of them must not have sent anything. */
  async workers(scenario: string): Promise<ChaosWorker[]> {
    if (this.#workersOf !== scenario || SCENARIOS[scenario]!.idle) {
      await this.#dismiss();
      this.#workers = await workersFor(this.#stack!, scenario);
      this.#workersOf = scenario;
    }
    return this.#workers;
  }

  async clear(): Promise<void> {
    await this.#dismiss();
    await this.#stack?.stop();
    this.#stack = undefined;
  }

  async #dismiss(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    this.#workers = [];
    this.#workersOf = '';
  }
}

/** Why a scenario cannot be run here; undefined if it can. */
async function gapOf(scenario: string, stack: Stack): Promise<string | undefined> {
  const { faults, needs } = SCENARIOS[scenario]!;
  if (needs === 'clock' && clock === undefined) return NO_CLOCK;
  for (const fault of faults) {
    const why = await (FAULTS[fault] as Fault).unknown?.(stack);
    if (why !== undefined) return `${fault}: ${why}`;
  }
  return undefined;
}

/** Prints broken promises and stores the run's history. @returns their number */
function tell(name: string, { scenario, seed, history }: Result, found: readonly string[]): void {
  for (const violation of found) console.log(`  BROKEN: ${violation}`);
  if (found.length === 0) return;
  const file = join(tmpdir(), `aizumi-chaos-${name}-${scenario}-${seed}.json`);
  writeFileSync(file, JSON.stringify(history));
  console.log(`  the run's history: ${file}`);
}

let gaps = 0;
const rounds: Round[] = [];
async function runStack(name: string, scenarios: readonly string[], levels: readonly Level[]): Promise<number> {
  const stage = new Stage(name);
  let broken = 0;
  try {
    for (const scenario of scenarios) {
      const { needs, replicasEach = 1 } = SCENARIOS[scenario]!;
      if (needs !== undefined && needs !== 'clock' && needs !== name) continue;
      const gap = await gapOf(scenario, await stage.stack(replicasEach));
      if (gap !== undefined) {
        gaps += 1;
        console.log(`${name} ${scenario} NOT RUN: ${gap}`);
        continue;
      }
      for (let round = 0; round < count; round++) {
        const stack = await stage.stack(replicasEach);
        const workers = isRound ? await stage.workers(scenario) : undefined;
        const firstMessage = 1 + round * ROUND_MESSAGES;
        const options = { scenario, seed: seed + round, levels, short, isRound, workers, firstMessage };
        const result = await runScenario(stack, options).catch((error: unknown) => {
          if (!isRound) throw error;
          console.log(`${name} ${scenario} seed ${options.seed}\n  BROKEN: the round did not end: ${String(error)}`);
        });
        if (!result) {
          broken += 1;
          await stage.clear();
          continue;
        }
        const found = violations(result);
        broken += found.length;
        const figures = roundOf({ stack: name, server: await serverOf(stack) }, result);
        rounds.push(figures);
        if (values.out !== undefined) appendFileSync(values.out, `${JSON.stringify(figures)}\n`);
        const silences = result.resumptions.map(({ fault, silenceMs }) => `${fault} ${Math.round(silenceMs)} ms`);
        console.log(
          `${name} ${scenario} seed ${figures.seed}: ${figures.seconds} s; silence after each fault: ${silences.join(', ')}`,
        );
        tell(name, result, found);
        // servers whose clock was set back do not behave like new ones (docs/durability.md)
        if (needs === 'clock') await stage.clear();
      }
    }
  } finally {
    await stage.clear();
  }
  return broken;
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const isRound = values.rounds !== undefined;
const count = Number(values.rounds ?? 1);
const stacks = chosen('stack', values.stack ?? (short ? 'sentinel' : undefined), Object.keys(STACKS));
const levels = chosen('level', values.level ?? (short ? 'all' : undefined), LEVELS);
const all = chosen('scenario', values.scenario, Object.keys(SCENARIOS));
const unasked = short ? ['none', 'short'] : all.filter((name) => name !== 'short'); // it is a part of mix
const scenarios = values.scenario === undefined ? unasked : all;

console.log(`seed ${seed}; to repeat the same faults: npm run chaos -- --seed ${seed}`);
let broken = 0;
for (const stack of stacks) broken += await runStack(stack, scenarios, levels);
if (rounds.length > 0) console.log(`\n${tables(rounds, values.markdown)}\n`);
if (gaps > 0) console.log(`${gaps} scenarios were not run`);
console.log(broken === 0 ? 'every promise was kept' : `${broken} promises were broken`);
process.exit(broken === 0 ? 0 : 1);
