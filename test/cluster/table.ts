// Results → Markdown, and the broken promises.
import { BOUNDS_MS } from './event.js';
import type { Row } from './event.js';
import { isRow } from './step.js';
import type { Check } from './step.js';

export interface Skipped {
  skipped: string;
  why: string;
}
export type Result = Row | Check | Skipped;

const isSkipped = (result: Result): result is Skipped => 'skipped' in result;
const number = (value: number): string => value.toLocaleString('en-US');
const seconds = (ms: number): string => (ms === Infinity ? 'always' : `${(ms / 1000).toFixed(ms < 1_000 ? 2 : 1)} s`);

const HEAD = `| event | not done | unknown | longest without a 200 | acknowledged | lost | bound |
|---|---:|---:|---:|---:|---:|---|`;

function line(row: Row): string {
  const { event, notDone, unknown, longestMs, acknowledged, lost } = row;
  return `| ${[
    event,
    number(notDone),
    number(unknown),
    seconds(longestMs),
    number(acknowledged),
    number(lost),
    boundOf(row),
  ].join(' | ')} |`;
}

function boundOf({ bound, longestMs, notDone, unknown }: Row): string {
  if (bound === undefined) return '–';
  const isMet = longestMs <= BOUNDS_MS[bound] && (bound !== 'planned' || notDone + unknown === 0);
  return `${BOUNDS_MS[bound] / 1000} s${bound === 'planned' ? ', all done' : ''}: ${isMet ? 'met' : 'MISSED'}`;
}

export function markdown(results: readonly Result[]): string {
  const rows = results.filter((result): result is Row => !isSkipped(result) && isRow(result));
  const checks = results.filter((result): result is Check => !isSkipped(result) && !isRow(result));
  const skipped = results.filter(isSkipped);
  const parts = [
    rows.length > 0 && [HEAD, ...rows.map(line)],
    checks.length > 0 && ['| check | seen |', '|---|---|', ...checks.map(({ name, seen }) => `| ${name} | ${seen} |`)],
    skipped.length > 0 && ['Skipped:', '', ...skipped.map((step) => `- ${step.skipped}: ${step.why}`)],
  ];
  return parts
    .filter((part) => part !== false)
    .map((part) => part.join('\n'))
    .join('\n\n');
}

/** A line for each promise that was broken. A time is none: a machine may be slow, and the table says which bound it missed. */
export const violations = (results: readonly Result[]): string[] =>
  results.flatMap((result) => {
    if (isSkipped(result)) return [];
    if (!isRow(result)) return result.broken ? [`${result.name}: ${result.seen}`] : [];
    const { event, lost, denied, notDone, unknown, bound, fault } = result;
    const refused = bound === 'planned' ? notDone + unknown : 0;
    return [
      ...(lost > 0 ? [`${event}: ${number(lost)} acknowledged messages are lost`] : []),
      ...(denied > 0
        ? [`${event}: ${number(denied)} messages were delivered though they were answered "not done"`]
        : []),
      ...(refused > 0
        ? [`${event}: ${number(notDone)} were not done and ${number(unknown)} unknown of a planned stop`]
        : []),
      ...(fault === undefined ? [] : [`${event}: ${fault}`]),
    ];
  });

/** What a row says beyond the table, for who reads along. */
export function details(row: Row): string {
  const reasons = Object.entries(row.reasons).sort(([, a], [, b]) => b - a);
  const gaps = row.gaps.map(({ ms, at }) => `${seconds(ms)} until ${new Date(at).toISOString().slice(11, 23)}`);
  return [
    line(row),
    `  gaps: ${gaps.join(', ')}`,
    ...reasons.slice(0, 8).map(([why, times]) => `  ${times} × ${why.slice(0, 160)}`),
    ...(row.fault === undefined ? [] : [`  FAULT: ${row.fault}`]),
  ].join('\n');
}
