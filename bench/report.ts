// The result as tables, for a terminal or as a section of docs/benchmarks.md.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { BATCH } from './batches.js';
import type { CycleCost } from './cycle.js';
import { percentile } from '../harness/measure.js';
import type { Pair, ReplicatedResults } from './replicated.js';
import { STAGES, type Sample, type Stage } from './stages.js';
import type { WaitingResults } from './waiting.js';

export interface Results {
  /** Requests per stage and round. */
  count: number;
  rounds: Record<Stage, Sample>[];
  /** Per SEND. */
  batches: { connections: number; samples: Sample[] }[];
  cyclesPerRound: number;
  cycles: { aizumi: CycleCost; plain: CycleCost; joined: CycleCost };
  waiters: WaitingResults;
  waiting: number;
  waitingMb: number;
  replicated: ReplicatedResults;
  /** After the stages and cycles; and after the batches too. */
  worker: { now: number; peak: number };
  workerAfterBatches: { now: number; peak: number };
}

/** The targets. */
const RATIO_TARGETS: Partial<Record<Stage, number>> = { SEND: 1.4, RECV: 1.7, FREE: 1.5 };
const BATCH_TARGET_MICROS = 10;
const WAKE_TARGET_MS = 5;
const CYCLE_TARGET = 1.8;
const WAITING_TARGET_MB_PER_MILLION = 160;
const WORKER_TARGET_MB = 150;

type Row = string[];

export function report(results: Results, machine: string[], markdown: boolean): string {
  const title = `Benchmark of ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const table = markdown ? markdownTable : textTable;
  const heading = (text: string): string => (markdown ? `### ${text}` : text);
  const aside = machine.map((line) => (markdown ? `- ${line}` : line)).join('\n');
  const { count, rounds, cyclesPerRound } = results;
  return [
    markdown ? `## ${title}` : title,
    aside,
    heading('HTTP: one worker beside the floor'),
    table(stageRows(rounds)),
    `64 connections, 100 addresses, ${rounds.length} rounds of ${count} requests per row. CPU: user + system, the best round` +
      ' (in parentheses the median). Requests/s, p50 and p99: medians. The floor: bare node:http and one plain XADD (bench/floor.mjs); the joined floor writes to Redis once per event-loop turn, as the worker does.',
    heading('Batches: SENDs, a hundred in one body'),
    table(batchRows(results.batches)),
    `As above; per SEND, but for p50 and p99, which are the whole body's.`,
    heading('Redis: process CPU of one cycle SEND + RECV + FREE'),
    table(cycleRows(results.cycles)),
    `${rounds.length} rounds of ${cyclesPerRound} cycles each, the best round. The first native row is driven as the worker drives Redis; the second is not, and flatters the worker.`,
    heading(`Waiting: ${results.waiters.waiters} receivers, each at an address of its own, through one worker`),
    table(waitingRows(results.waiters)),
    'Nothing happens: over 5 s. Woken: 400 SENDs one after another through another worker, from the SEND to the reply of the one who waited, as clients see them.' +
      ' SEND to others: through another worker, best round.',
    heading('Durability and Cluster: SEND through two workers in turns'),
    table(replicatedRows(results.replicated)),
    'Best round for CPU; medians for the rest. quorum: primary and 2 replicas, appendfsync always on all three, on this one machine. Cluster: three primaries.',
    heading('Memory'),
    table(memoryRows(results)),
  ].join('\n\n');
}

/** What measuring itself changes. */
const DRAWN = [':!load/results.json', ':!docs/benchmarks.html', ':!docs/plots'];

/** Where and from what the numbers come. */
export function machineLines(repository: string, program: string, dataFolder: string): string[] {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();
  const redis = /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown';
  const cpus = os.cpus();
  const dirty = git('status', '--porcelain', '--', '.', ...DRAWN) === '' ? '' : ' with uncommitted changes';
  return [
    `machine: ${cpus[0]?.model.trim() ?? 'unknown CPU'}, ${cpus.length} cores, ${os.type()} ${os.release()}, data on ${fileSystem(dataFolder)}, load before ${os.loadavg()[0]?.toFixed(2)}`,
    `Node ${process.version}, Redis ${redis}`,
    `commit: ${git('rev-parse', '--short', 'HEAD')}${dirty}${stale(repository, program) ? ', AND THE BUILD IS OLDER THAN src/' : ''}`,
  ];
}

function stageRows(rounds: Record<Stage, Sample>[]): Row[] {
  const of = (stage: Stage, field: keyof Sample): number[] => rounds.map((round) => round[stage][field]);
  const best = (stage: Stage, field: keyof Sample): number => Math.min(...of(stage, field));
  const median = (stage: Stage, field: keyof Sample): number => percentile(of(stage, field), 0.5);
  const floor = best('floor', 'serverMicros');
  const joinedFloor = best('floor, writes joined', 'serverMicros');
  return [
    [
      'stage',
      'server µs/request',
      'Redis µs/request',
      'requests/s',
      'p50 ms',
      'p99 ms',
      '× floor',
      'target',
      '',
      '× joined floor',
    ],
    ...STAGES.map((stage): Row => {
      const ratio = best(stage, 'serverMicros') / floor;
      return [
        stage,
        ...(['serverMicros', 'redisMicros'] as const).map(
          (field) => `${best(stage, field).toFixed(1)} (${median(stage, field).toFixed(1)})`,
        ),
        median(stage, 'perSecond').toFixed(0),
        median(stage, 'p50').toFixed(1),
        median(stage, 'p99').toFixed(1),
        ratio.toFixed(2),
        ...verdict(ratio, RATIO_TARGETS[stage], 1),
        (best(stage, 'serverMicros') / joinedFloor).toFixed(2),
      ];
    }),
  ];
}

function batchRows(batches: Results['batches']): Row[] {
  return [
    ['what', 'server µs/message', 'Redis µs/message', 'messages/s', 'p50 ms', 'p99 ms', 'target', ''],
    ...batches.map(({ connections, samples }) => {
      const all = (field: keyof Sample): number[] => samples.map((sample) => sample[field]);
      const best = (field: keyof Sample): number => Math.min(...all(field));
      const median = (field: keyof Sample): number => percentile(all(field), 0.5);
      const cost = (field: keyof Sample): string => `${best(field).toFixed(1)} (${median(field).toFixed(1)})`;
      return [
        `SEND, ${BATCH} in one body, ${connections} connections`,
        cost('serverMicros'),
        cost('redisMicros'),
        median('perSecond').toFixed(0),
        median('p50').toFixed(1),
        median('p99').toFixed(1),
        ...verdict(best('serverMicros'), BATCH_TARGET_MICROS, 0),
      ];
    }),
  ];
}

function cycleRows({ aizumi, plain, joined }: Results['cycles']): Row[] {
  const row = (name: string, cost: CycleCost, rest: Row): Row => [
    name,
    cost.redisMicros.toFixed(1),
    cost.serverMicros.toFixed(1),
    String(cost.forks),
    ...rest,
  ];
  const base = (name: string, cost: CycleCost): Row => {
    const ratio = aizumi.redisMicros / cost.redisMicros;
    return row(name, cost, [ratio.toFixed(2), ...verdict(ratio, CYCLE_TARGET, 1)]);
  };
  return [
    ['what', 'Redis µs/cycle', 'server µs/cycle', 'forks', 'worker ÷ this', 'target', ''],
    row('worker, shipped redis.conf', aizumi, ['', '', '']),
    base('XADD + XREADGROUP + XACK + XDEL, stock Redis, writes joined as the worker does', joined),
    base('the same, plain ioredis: one system call and one read by Redis per command', plain),
  ];
}

function waitingRows({ idle, wakeMs, send }: WaitingResults): Row[] {
  const row = (what: string, without: string, withWaiters: string, target = '', verdictText = ''): Row => [
    what,
    without,
    withWaiters,
    target,
    verdictText,
  ];
  const both = (what: string, pick: (side: 'without' | 'with') => number, digits: number): Row =>
    row(what, pick('without').toFixed(digits), pick('with').toFixed(digits));
  return [
    row('what', 'without waiters', 'with them', 'target'),
    both('nothing happens: worker CPU, ms/s', (side) => idle[side].workerMicrosPerSecond / 1_000, 1),
    both('nothing happens: Redis commands/s', (side) => idle[side].redisCommandsPerSecond, 1),
    both('worker resident, MB', (side) => idle[side].residentMb, 1),
    row('woken by a SEND, p50 ms', '', wakeMs.p50.toFixed(1), ...verdict(wakeMs.p50, WAKE_TARGET_MS, 0)),
    row('woken by a SEND, p99 ms', '', wakeMs.p99.toFixed(1)),
    both('SEND to others: server µs/request', (side) => send[side].workerMicros, 1),
    both("SEND to others: µs/XADD, by Redis's own count", (side) => send[side].xaddMicros, 2),
  ];
}

/** The section of durability and Cluster alone. */
export const replicatedReport = (results: ReplicatedResults, markdown: boolean): string =>
  (markdown ? markdownTable : textTable)(replicatedRows(results));

function replicatedRows(results: ReplicatedResults): Row[] {
  const { quorum, quorumAlone, quorumMissing, quorumMissingAlone, cluster } = results;
  const row = (name: string, { serverMicros, perSecond, p50, p99 }: Sample, rest: Row): Row => [
    name,
    serverMicros.toFixed(1),
    perSecond.toFixed(0),
    p50.toFixed(2),
    p99.toFixed(1),
    ...rest,
  ];
  const cost = ({ base, other }: Pair, target: number): Row => {
    const ratio = other.serverMicros / base.serverMicros;
    return [`CPU × ${ratio.toFixed(2)}`, ...verdict(ratio, target, 2)];
  };
  const throughput = ({ base, other }: Pair, target: number): Row => {
    const share = other.perSecond / base.perSecond;
    const text = `requests/s × ${share.toFixed(2)}`;
    return ['', '', '', '', '', text, `≥ ${target.toFixed(2)}`, share >= target ? 'pass' : 'MISS'];
  };
  const delay = ({ base, other }: Pair, targetMs: number): Row => {
    const later = other.p50 - base.p50;
    return [`p50 + ${later.toFixed(2)} ms`, ...verdict(later, targetMs, 1)];
  };
  return [
    ['what', 'server µs/request', 'requests/s', 'p50 ms', 'p99 ms', 'against the row above', 'target', ''],
    row('primary', quorum.base, ['', '', '']),
    row('quorum', quorum.other, cost(quorum, 1.25)),
    throughput(quorum, 0.65),
    row('primary, 1 connection', quorumAlone.base, ['', '', '']),
    row('quorum, 1 connection', quorumAlone.other, delay(quorumAlone, 1)),
    row('primary, one replica dead', quorumMissing.base, ['', '', '']),
    row('quorum, one replica dead', quorumMissing.other, cost(quorumMissing, 1.5)),
    throughput(quorumMissing, 0.52),
    row('primary, one replica dead, 1 connection', quorumMissingAlone.base, ['', '', '']),
    row('quorum, one replica dead, 1 connection', quorumMissingAlone.other, delay(quorumMissingAlone, 1.2)),
    row('one Redis', cluster.base, ['', '', '']),
    row('Cluster', cluster.other, cost(cluster, 1.15)),
  ];
}

function memoryRows({ waiting, waitingMb, worker, workerAfterBatches }: Results): Row[] {
  const perMillion = (waitingMb * 1_000_000) / waiting;
  const scaled = waiting === 1_000_000 ? '' : ` (scaled up from ${waiting})`;
  return [
    ['what', 'MB', 'target', ''],
    [
      `1,000,000 waiting messages of 100 bytes in 100 queues, Redis used_memory${scaled}`,
      perMillion.toFixed(1),
      ...verdict(perMillion, WAITING_TARGET_MB_PER_MILLION, 0),
    ],
    ['worker resident, peak since start', worker.peak.toFixed(1), ...verdict(worker.peak, WORKER_TARGET_MB, 0)],
    ['worker resident, at the end', worker.now.toFixed(1), '', ''],
    ['worker resident, peak with batches of 100 over 64 connections', workerAfterBatches.peak.toFixed(1), '', ''],
  ];
}

function verdict(value: number, target: number | undefined, digits: number): [target: string, verdict: string] {
  if (target === undefined) return ['', ''];
  return [`≤ ${target.toFixed(digits)}`, value <= target ? 'pass' : 'MISS'];
}

function textTable(rows: Row[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: Row): string =>
    row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

function markdownTable([head = [], ...rows]: Row[]): string {
  const line = (row: Row): string => `| ${row.join(' | ')} |`;
  return [line(head), line(head.map((_, c) => (c === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

/** fsync is only worth something on a real disk. Magic numbers: statfs(2). */
function fileSystem(folder: string): string {
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

function stale(repository: string, program: string): boolean {
  const sources = join(repository, 'src');
  const newest = Math.max(
    ...readdirSync(sources, { recursive: true, encoding: 'utf8' }).map((file) => statSync(join(sources, file)).mtimeMs),
  );
  return statSync(program).mtimeMs < newest;
}
