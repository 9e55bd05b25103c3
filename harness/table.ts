// Tables for a terminal and for a document. The first column is aligned left, the others right.

export type Cell = string | number | undefined;

export function textTable(rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => row.map(shown));
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const line = (row: string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return cells.map((row) => line(row).trimEnd()).join('\n');
}

export function markdownTable([head = [], ...rows]: readonly (readonly Cell[])[]): string {
  const line = (row: readonly Cell[]): string => `| ${row.map(shown).join(' | ')} |`;
  return [line(head), `|${head.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...rows.map(line)].join('\n');
}

/** As many digits as a reader needs: 18476, 342.9, 1.12. */
export function shown(cell: Cell): string {
  if (typeof cell !== 'number') return cell ?? '';
  if (Number.isInteger(cell)) return String(cell);
  const size = Math.abs(cell);
  return cell.toFixed(size >= 1_000 ? 0 : size >= 20 ? 1 : 2);
}
