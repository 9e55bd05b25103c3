// npm run chaos -- [--seed N] [--stack sentinel|cluster] [--level primary|quorum|all] [--scenario NAME] [--short]
// Breaks real processes under load and decides whether what was promised was kept. Without options: everything, on
// both stacks, each message at a level by chance. Exits with 1 when a promise was broken.
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startClusterStack, startSentinelStack } from '../test/support/stacks.js';
import type { Stack } from '../test/support/stacks.js';
import { NO_CLOCK, clockLibrary } from './clock.js';
import { LEVELS } from './history.js';
import type { Level } from './history.js';
import { header, rows, violations } from './report.js';
import { runScenario } from './run.js';
import { SCENARIOS } from './scenarios.js';

const clock = clockLibrary();
const STACKS: Readonly<Record<string, () => Promise<Stack>>> = {
  sentinel: () => startSentinelStack({ clock }),
  cluster: () => startClusterStack({ clock }),
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
  },
});

/** What an option asks for: one of `all`, or all of them. @throws Error that names them */
function chosen<T extends string>(option: string, value: string | undefined, all: readonly T[]): readonly T[] {
  if (value === undefined) return all;
  if (!all.includes(value as T)) throw new Error(`--${option} is one of ${all.join(', ')}`);
  return [value as T];
}

let gaps = 0;
async function runStack(name: string, scenarios: readonly string[], levels: readonly Level[]): Promise<number> {
  let stack = await STACKS[name]!();
  let broken = 0;
  try {
    for (const scenario of scenarios) {
      if (SCENARIOS[scenario]!.needs === 'sentinel' && stack.sentinels.length === 0) continue;
      if (SCENARIOS[scenario]!.needs === 'clock' && clock === undefined) {
        gaps += 1;
        console.log(`${name} ${scenario} NOT RUN: ${NO_CLOCK}`);
        continue;
      }
      const result = await runScenario(stack, { scenario, seed, levels, short });
      console.log(rows(name, result));
      const found = violations(result);
      for (const violation of found) console.log(`  BROKEN: ${violation}`);
      if (found.length > 0) {
        const file = join(tmpdir(), `aizumi-chaos-${name}-${scenario}-${seed}.json`);
        writeFileSync(file, JSON.stringify(result.history));
        console.log(`  the run's history: ${file}`);
      }
      broken += found.length;
      if (SCENARIOS[scenario]!.needs === 'clock') {
        // servers whose clock was set back are not what they were (docs/durability.md)
        await stack.stop();
        stack = await STACKS[name]!();
      }
    }
  } finally {
    await stack.stop();
  }
  return broken;
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const stacks = chosen('stack', values.stack ?? (short ? 'sentinel' : undefined), Object.keys(STACKS));
const levels = chosen('level', values.level ?? (short ? 'all' : undefined), LEVELS);
const all = chosen('scenario', values.scenario, Object.keys(SCENARIOS));
const unasked = short ? ['none', 'short'] : all.filter((name) => name !== 'short'); // it is a part of mix
const scenarios = values.scenario === undefined ? unasked : all;

console.log(`seed ${seed}; the same faults again: npm run chaos -- --seed ${seed}`);
console.log(header());
let broken = 0;
for (const stack of stacks) broken += await runStack(stack, scenarios, levels);
if (gaps > 0) console.log(`${gaps} scenarios were not run`);
console.log(broken === 0 ? 'every promise was kept' : `${broken} promises were broken`);
process.exit(broken === 0 ? 0 : 1);
