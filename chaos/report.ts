// Results → broken promises and tables with a row per scenario and level, for the terminal and for
// docs/durability.md.
import { execFileSync } from 'node:child_process';
import { ask } from '../harness/ask.js';
import type { Stack } from '../harness/stacks.js';
import { markdownTable, textTable, type Cell } from '../harness/table.js';
import { LEVELS, groupBy } from './history.js';
import type { Level } from './history.js';
import type { Result } from './run.js';

/** Service must resume within this time of the cause of a fail-over, with down-after 1000 ms. */
const RESUME_MS = 5_000;
const NAMES = ['attempted', 'acked', 'unknown', 'lost', 'unexp.', '2 leases', 'order', '500', 'silence, ms'];

/** One line for each broken promise. Late recovery is only counted in a round, which has no calm time between faults. */
export function violations({ verdict, resumptions, errors, isRound = false }: Result): string[] {
  const failedOver = resumptions.some(({ kind }) => kind === 'failover');
  const found: string[] = [];
  const none = (what: string, messages: readonly number[]): void => {
    if (messages.length > 0) found.push(`${messages.length} ${what}: ${messages.slice(0, 10).join(' ')}`);
  };
  for (const level of LEVELS) {
    const { attempted, acknowledged, lost } = verdict.levels[level];
    if (keeps(level, failedOver)) none(`lost at ${level}`, lost);
    if (attempted > 0 && acknowledged === 0) found.push(`nothing was acknowledged at ${level}`);
  }
  none('unexpected', verdict.unexpected);
  none('delivered though answered "not done"', verdict.denied);
  none('duplicates', verdict.duplicates);
  none('under two leases at once', verdict.twoLeases);
  none('delivered, then taken back during the lease', verdict.takenBack);
  none('out of order', verdict.outOfOrder);
  if (verdict.slow > 0) found.push(`${verdict.slow} requests hung`);
  for (const { fault, silenceMs, isPromised } of resumptions) {
    if (isPromised && !isRound && silenceMs > RESUME_MS)
      found.push(`${Math.round(silenceMs)} ms without service after ${fault}`);
  }
  const strange = groupBy([...verdict.strange, ...errors], (text) => text);
  return [...found, ...[...strange].map(([text, all]) => `${all.length} x ${text}`)];
}

/** `primary` promises that messages survive a crash and restart of the same node, but not a fail-over. */
const keeps = (level: Level, failedOver: boolean): boolean => level !== 'primary' || !failedOver;

/** The figures of a run, without its history. */
export interface Round {
  at: string;
  commit: string;
  /** For example Redis 7.0.15. */
  server: string;
  stack: string;
  scenario: string;
  seed: number;
  seconds: number;
  levels: Record<Level, { attempted: number; acknowledged: number; unknown: number; lost: number }>;
  unexpected: number;
  /** Under two leases at once, or taken back during the lease. */
  twoLeases: number;
  outOfOrder: number;
  duplicates: number;
  /** Replies with status 500. */
  internal: number;
  /** The longest time without an acknowledged SEND to some queue after a fault; 0 if not measured. */
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

/** The commit under test, with `-dirty` if there are uncommitted changes. */
function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], { encoding: 'utf8' }).trim();
  } catch {
    return 'no commit';
  }
}

/** The server as in `Redis 7.0.15` or `Valkey 9.1.2`. */
export async function serverOf({ nodes }: Stack): Promise<string> {
  const info = String(await ask(nodes[0]!.port, 'INFO', 'server'));
  const [, name = 'redis', version = '?'] =
    /^(valkey)_version:(\S+)/m.exec(info) ?? /^(redis)_version:(\S+)/m.exec(info) ?? [];
  return `${name[0]!.toUpperCase()}${name.slice(1)} ${version}`;
}

const sum = <T>(items: readonly T[], figure: (item: T) => number): number =>
  items.reduce((total, item) => total + figure(item), 0);

/** The first row of a scenario has the figures that its levels share. */
function rowsOf(rounds: readonly Round[]): Cell[][] {
  return [...groupBy(rounds, ({ scenario }) => scenario)].flatMap(([scenario, same]) => {
    const whole = [
      sum(same, ({ unexpected }) => unexpected),
      sum(same, ({ twoLeases }) => twoLeases),
      sum(same, ({ outOfOrder }) => outOfOrder),
      sum(same, ({ internal }) => internal),
      Math.max(...same.map(({ silenceMs }) => silenceMs)),
    ];
    const levels = LEVELS.filter((level) => same.some((round) => round.levels[level].attempted > 0));
    return levels.map((level, i) => {
      const count = (what: 'attempted' | 'acknowledged' | 'unknown' | 'lost'): number =>
        sum(same, (round) => round.levels[level][what]);
      return [
        i === 0 ? `${scenario} × ${same.length}` : '',
        level,
        count('attempted'),
        count('acknowledged'),
        count('unknown'),
        count('lost'),
        ...(i === 0 ? whole : whole.map(() => '')),
      ];
    });
  });
}

const perDeployment = (rounds: readonly Round[]): [string, Round[]][] => [
  ...groupBy(rounds, ({ server, stack }) => `${server}, ${stack === 'cluster' ? 'Cluster' : 'Sentinels'}`),
];

/** A table for each deployment, with its commit, time and seeds. */
export function tables(rounds: readonly Round[], isMarkdown: boolean): string {
  const print = isMarkdown ? markdownTable : textTable;
  return perDeployment(rounds)
    .map(([deployment, same]) => {
      const table = print([['scenario × rounds', 'level', ...NAMES], ...rowsOf(same)]);
      return `${deployment}:\n\n${table}\n\n${origin(same)}`;
    })
    .join('\n\n');
}

/** Commit, time and seeds of the rounds. */
function origin(rounds: readonly Round[]): string {
  const times = rounds.map(({ at }) => at).sort();
  const [from = '', to = ''] = [times[0], times.at(-1)].map((at) => at?.slice(0, 16).replace('T', ' '));
  const commits = [...new Set(rounds.map(({ commit }) => commit))].join(', ');
  const seeds = [...groupBy(rounds, ({ scenario }) => scenario)]
    .map(([scenario, same]) => `${scenario} ${ranges(same.map(({ seed }) => seed))}`)
    .join(', ');
  return `Commit ${commits}, ${from} to ${to.slice(from.slice(0, 10) === to.slice(0, 10) ? 11 : 0)} UTC; seeds: ${seeds}.`;
}

/** 1, 2, 3, 7 → 1 to 3, 7 */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && number <= last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from} to ${to}`)).join(', ');
}
