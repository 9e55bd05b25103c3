// Decides from lists of addresses and ranges what a client may do; keys and tokens both grant permissions in this form.
import Joi from 'joi';
import { MAX_ADDRESS, MAX_GRANTED_RANGES } from '../config/limits.js';

/** docs/security.md explains what each allows. `to`: the addresses that a SEND may go to. */
export const ACTIONS = ['send', 'to', 'receive', 'look', 'administer'] as const;
export type Action = (typeof ACTIONS)[number];

/** Addresses from the first to the last, inclusive. */
export type Range = readonly [first: number, last: number];

/** What one client may do. */
export interface Access {
  /** The client's name, the same for all its keys. */
  readonly name: string;
  may(action: Action, address: number): boolean;
  /** In ascending order, without overlaps. */
  ranges(action: Action): readonly Range[];
}

/**
 * Permissions as a file or token writes them: 100, "100-199", "*". One that is not named allows nothing, except `to`: everybody.
 */
export type Grants = Readonly<Partial<Record<Action, readonly (number | string)[]>>>;

const EVERYBODY: readonly Range[] = [[0, MAX_ADDRESS]];
const RANGE = /^(\d{1,10})(?:-(\d{1,10}))?$/;

/** The access of every client where no credentials are required. */
export const ANYTHING: Access = { name: 'anonymous', may: () => true, ranges: () => EVERYBODY };

const one = Joi.any().custom((value: unknown, { error }) => (rangeOf(value) ? value : error('any.invalid')));
const list = Joi.array()
  .items(
    one.messages({
      '*': '{{#label}} must be an address from 0 to 4294967295, a range such as "100-199", or "*" for all',
    }),
  )
  .max(MAX_GRANTED_RANGES)
  .messages({
    'array.base': '{{#label}} must be a list of addresses and ranges, such as [100, "200-299"]',
    'array.max': `{{#label}} has more than ${MAX_GRANTED_RANGES} entries: use ranges`,
  });

/** The fields of {@link Grants}, for a schema. Its messages never quote a value. */
export const GRANTS: Joi.PartialSchemaMap = Object.fromEntries(ACTIONS.map((action) => [action, list]));

/** @param grants valid by {@link GRANTS} */
export function accessOf(name: string, grants: Grants): Access {
  const ranges = Object.fromEntries(ACTIONS.map((action) => [action, merged(entriesOf(action, grants))])) as Record<
    Action,
    readonly Range[]
  >;
  return {
    name,
    may: (action, address) => isIn(ranges[action], address),
    ranges: (action) => ranges[action],
  };
}

/** `administer` includes `look`. */
function entriesOf(action: Action, grants: Grants): readonly (number | string)[] {
  const { to = ['*'], look = [], administer = [] } = grants;
  if (action === 'to') return to;
  return action === 'look' ? [...look, ...administer] : (grants[action] ?? []);
}

function rangeOf(value: unknown): Range | undefined {
  if (value === '*') return EVERYBODY[0];
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const [, first, last = first] = RANGE.exec(String(value)) ?? [];
  const range = [Number(first), Number(last)] as const;
  return range[0] <= range[1] && range[1] <= MAX_ADDRESS ? range : undefined;
}

function merged(list: readonly (number | string)[]): readonly Range[] {
  const ranges = list.map(rangeOf).filter((range) => range !== undefined);
  const apart: Range[] = [];
  for (const [first, last] of ranges.sort(([a], [b]) => a - b)) {
    const before = apart.at(-1);
    if (before && first <= before[1] + 1) apart[apart.length - 1] = [before[0], Math.max(before[1], last)];
    else apart.push([first, last]);
  }
  return apart;
}

/** A binary search, so that a client with a thousand ranges costs no more than one with a few. */
function isIn(ranges: readonly Range[], address: number): boolean {
  let from = 0;
  let to = ranges.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const [first, last] = ranges[middle] as Range;
    if (address < first) to = middle;
    else if (address > last) from = middle + 1;
    else return true;
  }
  return false;
}
