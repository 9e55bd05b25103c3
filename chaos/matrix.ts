// npx tsx chaos/matrix.ts [--rounds 20] [--out FILE] [--jobs 2] [--seed N] [--stack NAME] [--group NAME] [--print]
// The table of docs/durability.md: stall-and-resume, every planned fail-over and the Sentinel reset, on each server of
// AIZUMI_CHAOS_SERVERS (paths separated by spaces; default: the installed redis-server and valkey-server), with Sentinels and as
// a Cluster. Each round is appended to FILE as soon as it ends, so that an interrupted run keeps its results; --print
// only prints the table of FILE. A run whose FILE exists continues it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { tables } from './report.js';
import type { Round } from './report.js';

const INDEX = fileURLToPath(new URL('./index.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The rounds of a group are distributed among its scenarios, so that each kind of planned fail-over has some. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  stall: {
    sentinel: ['stall-and-resume', 'stall-and-resume-idle'],
    cluster: ['stall-and-resume', 'stall-and-resume-idle'],
  },
  planned: {
    sentinel: ['sentinel-failover', 'sentinel-failover-idle', 'failover-to', 'sentinel-failover-coordinated'],
    cluster: ['cluster-failover', 'cluster-failover-force', 'cluster-failover-takeover', 'cluster-failover-idle'],
  },
  reset: { sentinel: ['sentinel-reset'] },
};

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    out: { type: 'string', default: 'chaos-rounds.jsonl' },
    jobs: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    stack: { type: 'string' },
    group: { type: 'string' },
    print: { type: 'boolean', default: false },
  },
});

interface Job {
  server: string;
  stack: string;
  scenario: string;
  rounds: number;
  seed: number;
}

function serversFound(): string[] {
  const named = process.env.AIZUMI_CHAOS_SERVERS?.split(/\s+/).filter((path) => path !== '');
  if (named) return named;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return ['redis-server', 'valkey-server'].flatMap((program) => {
    const path = folders.map((folder) => join(folder, program)).find((each) => existsSync(each));
    return path === undefined ? [] : [path];
  });
}

function jobs(): Job[] {
  const found: Job[] = [];
  for (const [group, stacks] of Object.entries(GROUPS)) {
    if (values.group !== undefined && values.group !== group) continue;
    for (const server of serversFound()) {
      for (const [stack, scenarios] of Object.entries(stacks)) {
        if (values.stack !== undefined && values.stack !== stack) continue;
        const rounds = Math.ceil(Number(values.rounds) / scenarios.length);
        // the scenarios of a group have different seeds, which are the same for each server
        for (const [i, scenario] of scenarios.entries())
          found.push({ server, stack, scenario, rounds, seed: Number(values.seed) + i * rounds });
      }
    }
  }
  return found;
}

/** @returns whether every promise was kept */
async function run({ server, stack, scenario, rounds, seed }: Job): Promise<boolean> {
  const options = { stack, scenario, rounds, seed, out: values.out };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, ['--import', 'tsx', INDEX, ...args], {
    cwd: ROOT,
    env: { ...process.env, AIZUMI_TEST_REDIS_SERVER: server },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code] = (await once(child, 'close')) as [number | null];
  console.log(`${server}\n${said}`);
  return code === 0;
}

const roundsSoFar = (): Round[] =>
  existsSync(values.out)
    ? readFileSync(values.out, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Round)
    : [];

const broken: Job[] = [];
if (!values.print) {
  const waiting = jobs();
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) if (!(await run(job))) broken.push(job);
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, work));
}
console.log(tables(roundsSoFar(), true));
process.exit(broken.length === 0 ? 0 : 1);
