// What the report is made of: a section for each part that was measured.
import type { Part, PartName, Provenance, Results } from '../results.js';

export interface Figure {
  /** Of its file in docs/plots, without .svg. */
  name: string;
  title: string;
  /** Without a style of its own: see drawing.ts. */
  svg: string;
}

export interface Table {
  head: string[];
  /** Numbers are set to the right. */
  rows: (string | number)[][];
}

export interface Headline {
  value: string;
  label: string;
  /** A goal is missed. */
  isOver?: boolean;
}

/** What a section says about its data; every number in it comes from there. */
export interface Told {
  headlines: Headline[];
  sentences: string[];
  figures: Figure[];
  table: Table;
}

export interface Section<Name extends PartName = PartName> {
  part: Name;
  title: string;
  /** What was done, in a sentence: no numbers that are measured. */
  about: string;
  tell: (part: Part<Name>, all: Results) => Told;
}

/** Ties rows and section together. */
export const section = <Name extends PartName>(one: Section<Name>): Section => one as unknown as Section;

/** Two lines: what and when; where. */
export function provenanceLines({ at, commit, command, machine }: Provenance): [string, string] {
  const provisional = command.includes('--quick') ? ' · PROVISIONAL: a quick run' : '';
  return [`${at.slice(0, 16).replace('T', ' ')} UTC · ${command} · commit ${commit}${provisional}`, machine];
}

export const REQUEST_NAMES: Record<string, string> = {
  floor: 'floor',
  joinedFloor: 'floor, writes joined',
  send: 'SEND',
  recv: 'RECV',
  free: 'FREE',
  cycle: 'cycle',
};
export const nameOf = (request: string): string => REQUEST_NAMES[request] ?? request;

export function groupBy<T>(rows: readonly T[], key: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
}

export const highest = <T>(rows: readonly T[], of: (row: T) => number): T =>
  rows.reduce((best, row) => (of(row) > of(best) ? row : best));
