// Results → a table for people, and what of it breaks a promise.
import { LEVELS, groupBy } from './history.js';
import type { Level } from './history.js';
import type { Result } from './run.js';

/** Service must be back this long after the cause of a fail-over, with down-after 1000 ms. */
const RESUME_MS = 5_000;
const COLUMNS = [
  ['stack', 9],
  ['scenario', 19],
  ['level', 8],
  ['attempted', 10],
  ['acked', 7],
  ['unknown', 8],
  ['lost', 5],
  ['unexp', 6],
  ['denied', 7],
  ['dup', 4],
  ['2lease', 7],
  ['order', 6],
  ['excused', 8],
  ['slow', 5],
  ['silence after each fault, ms', 0],
] as const;

const row = (cells: readonly (string | number)[]): string =>
  cells.map((cell, i) => String(cell).padEnd(COLUMNS[i]![1])).join(' ');

export const header = (): string => row(COLUMNS.map(([name]) => name));

export function rows(stack: string, { scenario, levels, verdict, resumptions }: Result): string {
  const { unexpected, denied, duplicates, twoLeases, outOfOrder, excused, slow } = verdict;
  const rest = [
    unexpected.length,
    denied.length,
    duplicates.length,
    twoLeases.length,
    outOfOrder.length,
    excused,
    slow,
  ];
  const silence = resumptions.map(({ fault, silenceMs }) => `${fault} ${Math.round(silenceMs)}`).join(', ');
  return levels
    .map((level, i) => {
      const { attempted, acknowledged, unknown, lost } = verdict.levels[level];
      const counts = [attempted, acknowledged, unknown, lost.length];
      return row([i ? '' : stack, i ? '' : scenario, level, ...counts, ...(i ? [] : [...rest, silence])]);
    })
    .join('\n');
}

/** Each broken promise in one line; none in a good run. What was late in a round, where nothing is calm, is only counted. */
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
  none('taken back from a receiver that was told of them', verdict.takenBack);
  none('out of order', verdict.outOfOrder);
  if (verdict.slow > 0) found.push(`${verdict.slow} requests hung`);
  for (const { fault, silenceMs, isPromised } of resumptions) {
    if (isPromised && !isRound && silenceMs > RESUME_MS)
      found.push(`${Math.round(silenceMs)} ms without service after ${fault}`);
  }
  const strange = groupBy([...verdict.strange, ...errors], (text) => text);
  return [...found, ...[...strange].map(([text, all]) => `${all.length} x ${text}`)];
}

/** `primary` promises crash and restart of the same node, nothing over a fail-over. */
const keeps = (level: Level, failedOver: boolean): boolean => level !== 'primary' || !failedOver;
