// npm run bench [-- PART… | report] [--quick] [--markdown] [--replicated] [--worker dist/index.js]
// What aizumi costs, in CPU time beside the least that a Node broker could cost (bench/floor.mjs) and beside native Redis commands
// (bench/native.mjs). Without a part: the tables of docs/benchmarks.md that take a few minutes. A part that is named is also
// kept in bench/results.json; `report` prints all that is kept. `isolation` has options of its own: see isolation.ts.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { guarded } from './guarded.js';
import { isolation } from './isolation.js';
import { memory, resident } from './memory.js';
import { peers } from './peers/index.js';
import { replicated } from './replicated.js';
import { batches, costs, cycle } from './requests.js';
import { keep, provenance, readResults, report, tableOf, type Options, type Row } from './results.js';
import { connections, scaling } from './scaling.js';
import { halfLoad, scenarios, soak } from './scenarios.js';
import { underTest } from './servers.js';
import { waiting } from './waiting.js';

type Measure = (options: Options) => Promise<Row[]>;

/** With the heading of each. */
const TABLES: Record<string, [string, Measure]> = {
  costs: ['HTTP: one worker beside the floor, µs per request', costs],
  batches: ['Batches: SENDs, a hundred in one body; p50 and p99 are those of the whole body', batches],
  cycle: ['Redis: process CPU of one cycle SEND + RECV + FREE', cycle],
  waiting: ['10,000 waiting receivers, each at an address of its own, through one worker', waiting],
  replicated: ['Durability and Cluster: SEND through two workers in turns', replicated],
  resident: ['Memory', resident],
};
const PARTS: Record<string, [string, Measure]> = {
  ...TABLES,
  scaling: ['What a request costs as there is more of everything', scaling],
  memory: ['Redis memory of a waiting message', memory],
  peers: ['What a user might pick instead', peers],
  scenarios: ['Scenarios of npm run load', scenarios],
  connections: ['Throughput and latency over connections', connections],
  halfLoad: ['Latency at a share of the saturation rate', halfLoad],
  soak: ['Ten minutes of the full cycle', soak],
  guarded: ['What keys, metrics and limits cost a SEND', guarded],
};

const { values, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    replicated: { type: 'boolean', default: false },
    worker: { type: 'string', default: underTest.program },
    seconds: { type: 'string', default: '20' },
    quiet: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    together: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

/** Progress goes to standard error, so that standard output is the result alone. */
const say = (text: string): void => console.error(`… ${text}`);

const print = (heading: string, rows: Row[]): void =>
  console.log(`${values.markdown ? '### ' : ''}${heading}\n\n${tableOf(rows, values.markdown)}\n`);

async function main(): Promise<void> {
  const [first] = positionals;
  if (first === 'report') {
    console.log(report(readResults()));
    return;
  }
  underTest.program = resolve(values.worker);
  if (!existsSync(underTest.program)) throw new Error(`${underTest.program} is not there: npm run build makes it`);
  const { machine, commit } = provenance();
  console.log(`${machine}; commit ${commit}\n`);
  if (first === 'isolation') {
    const { together } = values;
    const only = values.only.split(',').filter(Boolean);
    print(
      'Isolation',
      await isolation({ seconds: Number(values.seconds), quietSeconds: Number(values.quiet), only, together, say }),
    );
    return;
  }
  const named = values.replicated ? ['replicated'] : positionals;
  const unknown = named.filter((name) => !(name in PARTS));
  const known = Object.keys(PARTS).join(', ');
  if (unknown.length > 0)
    throw new Error(`no such part: ${unknown.join(', ')}. There are: report, isolation, ${known}`);
  for (const name of named.length > 0 ? named : Object.keys(TABLES)) {
    const [heading, measure] = PARTS[name]!;
    const rows = await measure({ quick: values.quick, say: (text) => say(`${name}: ${text}`) });
    print(heading, rows);
    const command = `npm run bench -- ${name}${values.quick ? ' --quick' : ''}`;
    if (positionals.length > 0) keep(name, { at: new Date().toISOString(), command, commit, machine, rows });
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
