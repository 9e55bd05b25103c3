// Formats entries of AIZUMI_API_KEYS_FILE for people and programs. It omits the digests: they reveal no key, but nobody needs them.
import { isExpired } from './keys-file.js';
import type { Entry } from './keys-file.js';
import { ACTIONS } from './permissions.js';

/** Characters of a cell in the table; `show` prints the whole value. */
const WIDEST = 32;
const NAMES_SHOWN = 5;
/** Edits that a typing error may make; of a short name at most half. */
const MOST_EDITS = 3;

/** Distinguishes keys of the same name. */
export const idOf = ({ sha256 }: Entry): string => sha256.slice(0, 8).toLowerCase();

/** What --json prints for an entry; a permission that is not named has its default. */
export const jsonOf = (entry: Entry): object => ({
  name: entry.name,
  ...Object.fromEntries(ACTIONS.map((action) => [action, entry[action] ?? (action === 'to' ? ['*'] : [])])),
  expires: entry.expires ?? null,
  expired: isExpired(entry),
});

/** A line for each entry, below a line with the names of the columns. */
export function tableOf(entries: readonly Entry[]): string {
  const head = ['NAME', ...ACTIONS.map((action) => action.toUpperCase()), 'EXPIRES'];
  const rows = entries.map((entry) => cellsOf(entry).map((cell, i) => (i === 0 ? cell : shortened(cell))));
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] as string).length)));
  const line = (row: string[]): string => row.map((cell, i) => cell.padEnd(widths[i] as number)).join('  ');
  return [head, ...rows].map((row) => line(row).trimEnd()).join('\n');
}

/** An entry in several lines, each with the name and the value of a field. */
export function linesOf(entry: Entry): string {
  const [name = '', ...rest] = cellsOf(entry);
  const values = [name, idOf(entry), ...rest];
  return ['name', 'id', ...ACTIONS, 'expires'].map((field, i) => `${field.padEnd(12)}${values[i]}`).join('\n');
}

/** One line, to choose among several keys of one name. */
export function summaryOf(entry: Entry): string {
  const [, ...cells] = cellsOf(entry);
  const granted = ACTIONS.flatMap((action, i) =>
    cells[i] === '–' ? [] : [`${action} ${shortened(cells[i] as string)}`],
  );
  return `${idOf(entry)}: ${granted.join(', ')}; expires ${cells.at(-1)}`;
}

/** Existing names that are similar to `name`, the closest first. */
export function closeNames(name: string, entries: readonly Entry[]): string[] {
  const wanted = name.toLowerCase();
  const isClose = (other: string, edits: number): boolean =>
    edits <= Math.min(MOST_EDITS, wanted.length / 2) || other.includes(wanted) || wanted.includes(other);
  return [...new Set(entries.map((entry) => entry.name))]
    .map((known) => ({ known, edits: editsBetween(wanted, known.toLowerCase()) }))
    .filter(({ known, edits }) => isClose(known.toLowerCase(), edits))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, NAMES_SHOWN)
    .map(({ known }) => known);
}

function cellsOf(entry: Entry): string[] {
  const { name, expires = 'never' } = entry;
  const lists = ACTIONS.map((action) => entry[action]?.join(',') ?? (action === 'to' ? '*' : ''));
  return [name, ...lists.map((list) => list || '–'), isExpired(entry) ? `${expires} (expired)` : expires];
}

const shortened = (text: string): string => (text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text);

/** Levenshtein's distance. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
  }
  return row[b.length] as number;
}
