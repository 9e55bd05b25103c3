// The faults of a request as the reply lists them: the first ones, and how many more there are. Joi decides what is a fault, but
// it collects every fault, so it is given only as much of the request as can be reported.
import type Joi from 'joi';
import { MAX_LISTED_FAULTS, MAX_REPEATED_NAME } from '../config/limits.js';
import type { Fault } from '../errors.js';
import { EXPLAINED } from './fields.js';
import type { Fields } from './message-type.js';
import { NEVER, checkOf, describe } from './fast-validator.js';
import type { Description } from './fast-validator.js';

const PROTO = '__proto__';

export interface Faults {
  readonly listed: readonly Fault[];
  /** How many there are beside those. */
  readonly more: number;
}

/** @returns undefined for a request that is valid */
export function faultsOf(schema: Joi.ObjectSchema, fields: Fields): Faults | undefined {
  const { plain, explained, description } = variantsOf(schema);
  const excerpt = new Excerpt();
  const shown = excerpt.of(fields, description, '');
  if (excerpt.unknown.length === 0 && plain.validate(shown).error === undefined) return undefined;
  const details = explained.validate(shown).error?.details ?? [];
  const faults = details
    .map((detail) => ({ field: fieldOf(detail), message: detail.message }))
    // a number can break two rules that have the same message
    .filter((fault, i, all) => all[i - 1]?.message !== fault.message)
    .concat(excerpt.unknown);
  const listed = faults.slice(0, MAX_LISTED_FAULTS);
  return { listed, more: faults.length - listed.length + excerpt.more };
}

export function sentenceOf({ listed, more }: Faults): string {
  const faults = listed.map(({ message }) => message);
  if (more > 0) faults.push(`and ${more.toLocaleString('en-US')} more`);
  return faults.join('; ');
}

/**
 * The part of a request that Joi needs in order to find the faults that are listed. What is left out is certain to be a fault,
 * and is counted here.
 */
class Excerpt {
  /** Fields that the schema does not have; they are left out. */
  readonly unknown: Fault[] = [];
  more = 0;

  of(value: unknown, description: Description, path: string): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (description.type === 'object' && description.keys && !Array.isArray(value))
      return this.#object(value as Fields, description, path);
    if (description.type === 'array' && Array.isArray(value)) return this.#array(value, description);
    return value;
  }

  #object(value: Fields, { keys = {}, flags }: Description, path: string): Fields {
    const shown: Record<string, unknown> = {};
    for (const name of Object.keys(value)) {
      const field = Object.hasOwn(keys, name) ? keys[name] : undefined;
      if (field) shown[name] = this.of(value[name], field, `${path}${name}.`);
      else if (flags?.unknown !== true && name !== PROTO) this.#addUnknown(name, path);
    }
    // JSON.parse makes it a field like any other; Joi ignores it
    if (flags?.unknown !== true && Object.hasOwn(value, PROTO)) this.#addUnknown(PROTO, path);
    return shown;
  }

  #addUnknown(name: string, path: string): void {
    if (this.unknown.length === MAX_LISTED_FAULTS) {
      this.more += 1;
      return;
    }
    const shown = name.length > MAX_REPEATED_NAME ? `${name.slice(0, MAX_REPEATED_NAME)}…` : name;
    this.unknown.push({ field: path + shown, message: `${shown} is not a field of this request` });
  }

  /** A list that is too long is replaced by an empty one, which has the same fault. */
  #array(value: readonly unknown[], { rules = [], items = [] }: Description): readonly unknown[] {
    if (value.length > (rules.find(({ name }) => name === 'max')?.args?.limit ?? Infinity)) return [];
    const isGood = items[0] ? checkOf(items[0]) : NEVER;
    if (isGood === NEVER) return value;
    let bad = 0;
    let end = value.length;
    value.forEach((element, i) => {
      if (isGood(element)) return;
      bad += 1;
      if (bad === MAX_LISTED_FAULTS) end = i + 1;
    });
    this.more += Math.max(0, bad - MAX_LISTED_FAULTS);
    return value.slice(0, end);
  }
}

/** A rule of the whole request has no path; its context names the fields. */
function fieldOf({ path, context }: Joi.ValidationErrorItem): string {
  const { peers = [], peer = peers[0] } = (context ?? {}) as { peers?: string[]; peer?: string };
  return path.join('.') || (peer ?? '');
}

interface Variants {
  /** Stops at the first fault. */
  readonly plain: Joi.Schema;
  readonly explained: Joi.Schema;
  readonly description: Description;
}

const known = new WeakMap<Joi.Schema, Variants>();

function variantsOf(schema: Joi.ObjectSchema): Variants {
  let variants = known.get(schema);
  if (variants === undefined) {
    variants = {
      plain: schema.prefs({ abortEarly: true }),
      explained: schema.tailor(EXPLAINED),
      description: describe(schema),
    };
    known.set(schema, variants);
  }
  return variants;
}
