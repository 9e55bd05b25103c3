// npm run load:measure -- [PART…] [--quick]: measures the parts, all of them by default, and keeps each in load/results.json.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { machineLines } from '../bench/report.js';
import { folder } from '../bench/servers.js';
import { parts as costs } from './measure-costs.js';
import { parts as memory } from './measure-memory.js';
import { parts as peers } from './measure-peers.js';
import { parts as scaling } from './measure-scaling.js';
import { parts as scenarios } from './measure-scenarios.js';
import { PROGRAM, REPOSITORY, type Measure, type Parts } from './measuring.js';
import { writePart, type PartName, type Provenance } from './results.js';

const PARTS: Parts = { ...costs, ...scaling, ...memory, ...peers, ...scenarios };

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false } },
  allowPositionals: true,
});

function chosen(): PartName[] {
  const known = Object.keys(PARTS) as PartName[];
  const unknown = positionals.filter((name) => !(name in PARTS));
  if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}. There are: ${known.join(', ')}`);
  return positionals.length === 0 ? known : (positionals as PartName[]);
}

/** Read before the first part is written. */
function provenance(): Omit<Provenance, 'at' | 'command'> {
  const [machine = '', versions = '', commit = ''] = machineLines(REPOSITORY, PROGRAM, folder);
  return { machine: `${machine.replace('machine: ', '')}; ${versions}`, commit: commit.replace('commit: ', '') };
}

async function measure(name: PartName, where: ReturnType<typeof provenance>): Promise<void> {
  const say = (text: string): void => console.error(`… ${name}: ${text}`);
  const rows = await (PARTS[name] as Measure<typeof name>)({ quick: values.quick, say });
  const command = `npm run load:measure -- ${name}${values.quick ? ' --quick' : ''}`;
  writePart(name, { at: new Date().toISOString(), command, ...where, rows });
  say('is in load/results.json; npm run load:report draws it');
}

async function main(): Promise<void> {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not there: npm run build makes it`);
  const names = chosen();
  const where = provenance();
  for (const name of names) await measure(name, where);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
