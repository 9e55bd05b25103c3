// The cost of a process: CPU time and memory from the operating system, and those of Redis from INFO.
//
// Linux: the first number of /proc/PID/task/*/schedstat is a thread's CPU time, user and system, in ns, exact.
// (/proc/PID/stat counts in units of 10 ms, and its split into user and system is an estimate by ticks; a process cannot
// report its own process.cpuUsage() without code in it.) Elsewhere `ps` is used, with units of 10 ms on macOS.
// A process is measured with its descendants, and so a node:cluster primary with its workers.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import type { Redis } from 'ioredis';

const onLinux = process.platform === 'linux';
/** Megabytes are decimal throughout. */
export const MB = 1_000_000;
const KB = 1024;

/** CPU time that a process and its descendants have used, user + system, in µs. */
export function cpuMicros(pid: number): number {
  if (!onLinux) return sum(psTree(pid).map((row) => row.cpuMicros));
  return sum(tree(pid).flatMap((p) => threads(p).map((t) => nanosOf(p, t)))) / 1000;
}

/** Resident memory of the largest process of the tree, now and at its peak since it started, in MB. */
export function residentMb(pid: number): { now: number; peak: number } {
  if (!onLinux) {
    const now = (Math.max(...psTree(pid).map((row) => row.rssKb)) * KB) / MB;
    return { now, peak: now };
  }
  const statuses = tree(pid).map((p) => readFileSync(`/proc/${p}/status`, 'utf8'));
  const largest = (field: string) =>
    Math.max(...statuses.map((s) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(s)?.[1] ?? 0)));
  return { now: (largest('VmRSS') * KB) / MB, peak: (largest('VmHWM') * KB) / MB };
}

/** CPU time of the Redis process, all its threads, in µs. Its children (RDB, AOF rewrite) are counted in `forks` only. */
export async function redisUsage(redis: Redis): Promise<{ micros: number; forks: number }> {
  const info = await redis.info('cpu', 'stats');
  const seconds = infoNumber(info, 'used_cpu_user') + infoNumber(info, 'used_cpu_sys');
  return { micros: seconds * 1e6, forks: infoNumber(info, 'total_forks') };
}

export async function redisUsedMemory(redis: Redis): Promise<number> {
  return infoNumber(await redis.info('memory'), 'used_memory');
}

/** The value at a share (0 … 1) of the sorted numbers. */
export function percentile(numbers: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export const median = (numbers: ArrayLike<number>): number => percentile(numbers, 0.5);

function infoNumber(info: string, name: string): number {
  return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? NaN);
}

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0);

const threads = (pid: number): string[] => readdirSync(`/proc/${pid}/task`);

function tree(pid: number): number[] {
  const children = threads(pid).flatMap((t) =>
    readFileSync(`/proc/${pid}/task/${t}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(tree)];
}

function nanosOf(pid: number, thread: string): number {
  return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
}

interface PsRow {
  pid: number;
  parent: number;
  rssKb: number;
  cpuMicros: number;
}

function psTree(root: number): PsRow[] {
  const rows = execFileSync('ps', ['-axo', 'pid=,ppid=,rss=,time='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line): PsRow => {
      const [pid, parent, rss, time = ''] = line.trim().split(/\s+/);
      const seconds = time.split(/[:-]/).reduce((total, part) => total * 60 + Number(part), 0); // [hh:]mm:ss.cc
      return { pid: Number(pid), parent: Number(parent), rssKb: Number(rss), cpuMicros: seconds * 1e6 };
    });
  const below = (pid: number): PsRow[] =>
    rows.filter((row) => row.parent === pid).flatMap((row) => [row, ...below(row.pid)]);
  return [...rows.filter((row) => row.pid === root), ...below(root)];
}
