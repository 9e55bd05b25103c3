// A look at a request that knows most valid ones, for a tenth of what Joi takes. Joi decides about all others.
import type Joi from 'joi';
import type { Fields } from './fields.js';

/** Whether the request is valid for certain. If not, it may still be. */
export type Glance = (fields: Fields) => boolean;

/** What is understood of Joi's description of a schema (https://joi.dev/api/#anydescribe). */
interface Description {
  type: string;
  flags?: { presence?: string; only?: boolean };
  rules?: { name: string; args?: { limit?: number } }[];
  allow?: unknown[];
}

interface ObjectDescription {
  keys: Record<string, Description>;
  dependencies?: { rel: string; key?: string; peers: string[] }[];
}

const NEVER = (): boolean => false;

/**
 * Made from what the schema tells of itself, so that every rule stands in one place. A field that it does not understand must be
 * absent for it to say yes, and so must one that excludes others.
 * @param schema of an object, with the preference `convert: false`
 */
export function glanceOf(schema: Joi.ObjectSchema): Glance {
  const description = schema.describe();
  if (!isMadeOf(description, ['type', 'keys', 'dependencies', 'preferences'])) return NEVER;
  const { keys, dependencies = [] } = description as unknown as ObjectDescription;
  const checks = new Map(Object.entries(keys).map(([name, field]) => [name, checkOf(field)]));
  const required = Object.keys(keys)
    .filter((name) => keys[name]?.flags?.presence === 'required')
    .map((name) => [name]);
  for (const { rel, key = '', peers } of dependencies) {
    if (rel === 'or') required.push(peers);
    else if (rel === 'without') checks.set(key, NEVER);
    else return NEVER;
  }
  return (fields) => {
    for (const name in fields) if (!checks.get(name)?.(fields[name])) return false;
    return required.every((names) => names.some((name) => fields[name] !== undefined));
  };
}

function checkOf(field: Description): (value: unknown) => boolean {
  const { type, flags = {}, rules = [], allow } = field;
  const isPlain =
    isMadeOf(field, ['type', 'flags', 'rules', 'allow', 'alterations']) && isMadeOf(flags, ['presence', 'only']);
  if (!isPlain || flags.presence === 'forbidden') return NEVER;
  if (type === 'any' && flags.only && allow) return (value) => allow.includes(value);
  if (allow) return NEVER;
  if (type === 'any' && rules.length === 0) return () => true;
  if (type === 'boolean' && rules.length === 0) return (value) => typeof value === 'boolean';
  if (type !== 'number' || !rules.every(({ name }) => ['integer', 'min', 'max'].includes(name))) return NEVER;
  const limit = (rule: string): number | undefined => rules.find(({ name }) => name === rule)?.args?.limit;
  const min = limit('min') ?? Number.MIN_SAFE_INTEGER;
  const max = limit('max') ?? Number.MAX_SAFE_INTEGER;
  // asks for an integer where the schema may allow others: those are Joi's
  return (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

const isMadeOf = (description: object, names: string[]): boolean =>
  Object.keys(description).every((name) => names.includes(name));
