// What was measured: rows of figures. `npm run bench -- PART…` keeps those of a part in bench/results.json, with where and when they
// were measured; `npm run bench -- report` prints them as docs/measurements.md.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { markdownTable, shown, textTable, type Cell } from '../harness/table.js';
import { REPOSITORY, folder, underTest } from './servers.js';

/** A figure; several of a kind (`ratio: { worker, redis }`) get a column each, named after both. */
export type Row = Record<string, Cell | Ratios | Record<string, number>>;

export interface Options {
  /** Fewer rounds: to see that it works. */
  quick: boolean;
  /** Reports progress. */
  say: (text: string) => void;
}

/** Where, when and how a part was measured. */
export interface Provenance {
  /** ISO 8601 */
  at: string;
  commit: string;
  command: string;
  machine: string;
}

/** CPU times are user + system of the whole process tree per request or message, µs; latencies ms. */
export interface Cost {
  workerMicros: number;
  redisMicros: number;
  perSecond: number;
  p50: number;
  p99: number;
}

/** The median, over rounds, of a CPU time divided by what the base cost in the same round. */
export interface Ratios {
  worker: number;
  redis: number;
  both: number;
}

/** Whose cost is looked at as there is more of it. */
export type Dimension = 'workers' | 'workersAtRate' | 'shards' | 'queues' | 'waiting' | 'payload';
export type CostRow = Cost & { request: string; ratio: Ratios };
export type ScalingRow = CostRow & { dimension: Dimension; value: number };
export interface MemoryRow {
  payloadBytes: number;
  queues: number;
  messages: number;
  bytesPerMessage: number;
}

export interface Part<T = Row> extends Provenance {
  rows: T[];
}

/** By part; the named ones are what the capacity model is made of. */
export interface Results {
  [part: string]: Part<any> | undefined;
  costs?: Part<CostRow>;
  scaling?: Part<ScalingRow>;
  memory?: Part<MemoryRow>;
}

const FILE = join(REPOSITORY, 'bench/results.json');

export const readResults = (): Results => (existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : {});

export function keep(name: string, part: Part): void {
  writeFileSync(FILE, `${JSON.stringify({ ...readResults(), [name]: part }, undefined, 1)}\n`);
}

/** How a reader knows the figures that are kept. */
const NAMES: Record<string, string> = {
  workerMicros: 'worker µs',
  redisMicros: 'Redis µs',
  systemMicros: 'µs',
  perSecond: 'per second',
  p50: 'p50 ms',
  p99: 'p99 ms',
  'ratio.worker': '× worker',
  'ratio.redis': '× Redis',
  'ratio.both': '× both',
};

/** One column for each name that any row has, in the order in which they come. */
export function tableOf(rows: readonly Row[], markdown: boolean): string {
  const flat = rows.map(flattened);
  const names = [...new Set(flat.flatMap((row) => [...row.keys()]))];
  const head = names.map((name) => NAMES[name] ?? name);
  return (markdown ? markdownTable : textTable)([head, ...flat.map((row) => names.map((name) => row.get(name)))]);
}

function flattened(row: Row): Map<string, Cell> {
  return new Map(
    Object.entries(row).flatMap(([name, value]): [string, Cell][] => {
      if (typeof value !== 'object') return [[name, value]];
      const parts = Object.entries(value) as [string, number][];
      // kinds of process differ from row to row
      if (name === 'parts') return [[name, parts.map(([part, micros]) => `${part} ${shown(micros)}`).join(', ')]];
      return parts.map(([part, figure]) => [`${name}.${part}`, figure]);
    }),
  );
}

/** Every part that is kept: the text of docs/measurements.md. */
export function report(results: Results): string {
  const head =
    '# Measurements\n\nMade by `npm run bench -- report > docs/measurements.md`;\nCPU in µs, see [benchmarks](benchmarks.md).';
  const sections = Object.entries(results).map(([name, part]) => (part ? section(name, part) : ''));
  return [head, ...sections].join('\n\n');
}

function section(name: string, { at, command, commit, machine, rows }: Part): string {
  const provisional = command.includes('--quick') ? ', provisional' : '';
  const when = `${at.slice(0, 16).replace('T', ' ')} UTC`;
  const where = machine.split('; ').join(';\n');
  return `## ${name}\n\n\`${command}\`, ${when}, commit ${commit}${provisional};\n${where}.\n\n${tableOf(rows, true)}`;
}

/** Where the figures come from. */
export function provenance(): Pick<Provenance, 'commit' | 'machine'> {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: REPOSITORY, encoding: 'utf8' }).trim();
  const redis = /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown';
  const [cpu, cores] = [os.cpus()[0]?.model.trim() ?? 'unknown CPU', os.cpus().length];
  const dirty =
    git('status', '--porcelain', '--', '.', ':!bench/results.json') === '' ? '' : ' with uncommitted changes';
  const stale = isStale() ? ', AND THE BUILD IS OLDER THAN src/' : '';
  return {
    machine:
      `${cpu}, ${cores} cores, ${os.type()} ${os.release()}, data on ${fileSystem()}, ` +
      `load before ${os.loadavg()[0]?.toFixed(2)}; Node ${process.version}, Redis ${redis}`,
    commit: `${git('rev-parse', '--short', 'HEAD')}${dirty}${stale}`,
  };
}

/** fsync is only worth something on a real disk. Magic numbers: statfs(2). */
function fileSystem(): string {
  const names: Record<number, string> = {
    0xef53: 'ext4',
    0x01021994: 'tmpfs (fsync costs nothing here)',
    0x58465342: 'xfs',
    0x9123683e: 'btrfs',
    0x794c7630: 'overlayfs',
  };
  const { type } = statfsSync(folder);
  return names[type] ?? `file system 0x${type.toString(16)}`;
}

function isStale(): boolean {
  const sources = join(REPOSITORY, 'src');
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' });
  const newest = Math.max(...files.map((file) => statSync(join(sources, file)).mtimeMs));
  return statSync(underTest.program).mtimeMs < newest;
}
