// Result → the final table, the same as JSON, and the faults.
import { textTable } from '../harness/table.js';
import type { Drift } from './drift.js';
import type { Result } from './run.js';
import { latencyMs, total } from './tally.js';
import type { Row } from './tally.js';

const COLUMNS = [
  '',
  'requests',
  'requests/s',
  'messages/s',
  'p50 ms',
  'p90 ms',
  'p99 ms',
  'max ms',
  'empty',
  'failures',
];

/** Row for all types together, without a count of messages: SENDs and RECVs are about the same ones. */
const ALL = 'all';

export const nameOf = ({ scenario, variant }: Pick<Result, 'scenario' | 'variant'>): string =>
  variant === '' ? scenario : `${scenario}, ${variant}`;

/** The faults that make a run a failure, one line each. */
export function faults({ notRun, tally, beside, verdict }: Result): string[] {
  const found: string[] = [];
  const say = (count: number, what: string): void => {
    if (count > 0) found.push(`${int(count)} messages ${what}`);
  };
  say(verdict.lost, 'were lost');
  say(verdict.vanished, 'were delivered, not freed, and gone at the end');
  say(verdict.doubled, 'were delivered twice');
  say(verdict.changed, 'were changed');
  say(verdict.unexpected, 'were delivered that were never sent, or whose SEND was answered "not done"');
  found.push(...verdict.examples.map((example) => `  ${example}`));
  for (const strange of [tally.strange, beside.strange])
    found.push(...[...strange].map(([what, times]) => `${int(times)} x ${what}`));
  if (notRun === undefined && tally.all.micros.count === 0) found.push('not a single request succeeded');
  return found;
}

/** The table as text. */
export function table(result: Result, drift?: Drift): string {
  const { tally, beside, seconds, notRun } = result;
  if (notRun !== undefined) return `NOT RUN: ${notRun}`;
  const rows = [...tally.rows, ...(tally.rows.size > 1 ? [[ALL, tally.all] as const] : [])];
  const lines = [COLUMNS, ...rows.map(([type, row]) => cells(type, row, seconds))];
  const failures = [...tally.rows].flatMap(([type, row]) => reasons(type, row));
  const later = [...beside.rows].flatMap(([type, row]) => reasons(`before or after the timed part: ${type}`, row));
  return [textTable(lines), ...failures, ...later, ledgerLine(result), ...(drift ? driftLines(drift) : [])].join('\n');
}

/** The result as JSON: one object per variant. */
export function asJson(result: Result, drift?: Drift): object {
  const { tally, beside, verdict, seconds, ...rest } = result;
  const rowOf = (row: Row): object => ({
    requests: row.requests,
    messages: row.messages,
    perSecond: row.requests / seconds,
    p50: latencyMs(row, 50),
    p90: latencyMs(row, 90),
    p99: latencyMs(row, 99),
    max: latencyMs(row, 100),
    empty: row.empty,
    failures: Object.fromEntries(row.failures),
  });
  return {
    ...rest,
    seconds,
    types: Object.fromEntries([...tally.rows].map(([type, row]) => [type, rowOf(row)])),
    all: rowOf(tally.all),
    failuresBeside: Object.fromEntries(
      [...beside.rows].map(([type, { failures }]) => [type, Object.fromEntries(failures)]),
    ),
    ledger: verdict,
    faults: faults(result),
    ...(drift && { drift }),
  };
}

function ledgerLine({ verdict }: Result): string {
  const { acknowledged, unknown, arrived, sent, received, left, lost, vanished, doubled, changed } = verdict;
  const maybe = unknown > 0 ? ` (${int(acknowledged)} acknowledged, ${int(arrived)} of ${int(unknown)} unknown)` : '';
  return `ledger: sent ${int(sent)}${maybe} = received ${int(received)} + left ${int(left)}; lost ${int(lost + vanished)}, doubled ${int(doubled)}, changed ${int(changed)}`;
}

function driftLines({ firstS, lastS, of }: Drift): string[] {
  const figures = of.map(({ name, from, to, unit }) => {
    const percent = from === 0 ? 0 : (to / from - 1) * 100;
    return `${name} ${from.toFixed(1)} → ${to.toFixed(1)}${unit} (${percent >= 0 ? '+' : ''}${percent.toFixed(1)} %)`;
  });
  return [`drift, from the second quarter (from ${firstS} s) to the last (from ${lastS} s): ${figures.join(', ')}`];
}

const reasons = (type: string, { failures }: Row): string[] =>
  [...failures].map(([reason, times]) => `${type}: ${int(times)} x ${reason}`);

function cells(type: string, row: Row, seconds: number): string[] {
  const perSecond = (count: number): string => int(Math.round(count / seconds));
  const latency = (percent: number): string => (row.micros.count === 0 ? '' : latencyMs(row, percent).toFixed(2));
  const messages = type === ALL ? '' : perSecond(row.messages);
  const counts = row.requests === 0 ? ['', '', ''] : [int(row.requests), perSecond(row.requests), messages];
  const ends = row.requests === 0 ? ['', ''] : [int(row.empty), int(total(row.failures))];
  return [type, ...counts, latency(50), latency(90), latency(99), latency(100), ...ends];
}

const int = (count: number): string => count.toLocaleString('en');
