// What is kept of a run when many are added up: figures, no history.
import { execFileSync } from 'node:child_process';
import { ask } from '../harness/ask.js';
import type { Stack } from '../harness/stacks.js';
import { LEVELS } from './history.js';
import type { Level } from './history.js';
import { violations } from './report.js';
import type { Result } from './run.js';

/** A line of the file that --out names. */
export interface Round {
  at: string;
  commit: string;
  /** Redis 7.0.15 */
  server: string;
  stack: string;
  scenario: string;
  seed: number;
  seconds: number;
  levels: Record<Level, { attempted: number; acknowledged: number; unknown: number; lost: number }>;
  unexpected: number;
  /** Under two live leases, or taken back from somebody who was told of it. */
  twoLeases: number;
  outOfOrder: number;
  duplicates: number;
  /** Answers with status 500. */
  internal: number;
  /** The longest time in which some queue had no acknowledged SEND after a fault; 0 where none is looked at. */
  silenceMs: number;
  broken: string[];
}

export function roundOf({ stack, server }: { stack: string; server: string }, result: Result): Round {
  const { scenario, seed, verdict, resumptions, seconds } = result;
  return {
    at: new Date().toISOString(),
    commit: commit(),
    server,
    stack,
    scenario,
    seed,
    seconds: Math.round(seconds * 10) / 10,
    levels: Object.fromEntries(
      LEVELS.map((level) => [level, { ...verdict.levels[level], lost: verdict.levels[level].lost.length }]),
    ) as Round['levels'],
    unexpected: verdict.unexpected.length,
    twoLeases: verdict.twoLeases.length + verdict.takenBack.length,
    outOfOrder: verdict.outOfOrder.length,
    duplicates: verdict.duplicates.length,
    internal: verdict.strange.filter((text) => text.startsWith('an answer 500')).length,
    silenceMs: Math.round(Math.max(0, ...resumptions.map(({ silenceMs }) => silenceMs))),
    broken: violations(result),
  };
}

/** The tree that is tested; `-dirty` when it is not what was committed. */
function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], { encoding: 'utf8' }).trim();
  } catch {
    return 'no commit';
  }
}

/** Redis 7.0.15, or Valkey 9.1.2. */
export async function serverOf({ nodes }: Stack): Promise<string> {
  const info = String(await ask(nodes[0]!.port, 'INFO', 'server'));
  const [, name = 'redis', version = '?'] =
    /^(valkey)_version:(\S+)/m.exec(info) ?? /^(redis)_version:(\S+)/m.exec(info) ?? [];
  return `${name[0]!.toUpperCase()}${name.slice(1)} ${version}`;
}
