// Parses AIZUMI_API_KEYS_FILE into the known keys, and finds the client of a key.
import { timingSafeEqual } from 'node:crypto';
import Joi from 'joi';
import { LineCounter, isMap, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { withoutKeys } from './api-key.js';
import { AccessError, unauthenticated } from './credentials.js';
import { GRANTS, accessOf } from './permissions.js';
import type { Access, Grants } from './permissions.js';

/** When one of a client's keys was last accepted, ms since 1970; 0: not yet. */
export interface LastUse {
  atMs: number;
}

export interface Keys {
  readonly size: number;
  /** By the names in the file. */
  readonly lastUses: ReadonlyMap<string, LastUse>;
  /**
   * Finds a key, and records its use in {@link lastUses}.
   * @param digest of the key that was presented
   * @returns undefined if no entry has it
   * @throws BrokerError unauthenticated if it has expired
   */
  find(digest: string): Access | undefined;
}

/** A key's entry in the file. */
export interface Entry extends Grants {
  name: string;
  sha256: string;
  expires?: string;
}

interface Known {
  digest: Buffer;
  access: Access;
  expiresMs: number;
  lastUse: LastUse;
}

const ISO_DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/** A date without a time means its first moment, UTC. */
export const isDate = (text: string): boolean => ISO_DATE.test(text) && !Number.isNaN(Date.parse(text));

const expiryMs = ({ expires }: Entry): number => (expires === undefined ? Infinity : Date.parse(expires));

export const isExpired = (entry: Entry): boolean => expiryMs(entry) <= Date.now();

/** Compares entries that are not validated yet. */
function sameKey(a: unknown, b: unknown): boolean {
  const [one, other] = [a, b].map((entry) => (entry as { sha256?: unknown } | null)?.sha256);
  return typeof one === 'string' && typeof other === 'string' && one.toLowerCase() === other.toLowerCase();
}

const schema = Joi.object<{ keys: Entry[] }>({
  keys: Joi.array()
    .items(
      Joi.object({
        name: Joi.string()
          .pattern(/^[\w.@:/-]{1,64}$/)
          .required()
          .messages({ '*': '{{#label}} must be 1 to 64 letters, digits, _ . @ : / or -' }),
        sha256: Joi.string()
          .pattern(/^[0-9a-f]{64}$/i)
          .required()
          .messages({ '*': "{{#label}} must be the key's SHA-256, 64 hexadecimal digits, not the key itself" }),
        expires: Joi.string()
          .custom((text: string, { error }) => (isDate(text) ? text : error('any.invalid')))
          .messages({ '*': '{{#label}} must be a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z' }),
        ...GRANTS,
      }).messages({ 'object.base': '{{#label}} must have the fields name, sha256 and what the key may do' }),
    )
    .unique((a: unknown, b: unknown) => sameKey(a, b))
    .required()
    .messages({
      'array.base': '{{#label}} must be a list',
      'array.unique': '{{#label}} is the same key as keys[{{#dupePos}}]',
    }),
})
  .required()
  .prefs({
    abortEarly: false,
    convert: false,
    errors: { wrap: { label: false } },
    messages: {
      'object.unknown': '{{#label}} is not a field here',
      'object.base': 'it must have one field, keys, which is a list',
      'any.required': '{{#label}} is required',
    },
  });

/** The last line of a file in YAML, YAML's end of a document: without it a truncated file would be valid too. */
export const END = '...';

const NO_END =
  `its last line must be ${END} (three dots, YAML's end of a document): a file cut short could allow more than the whole one. ` +
  `If it is whole, add that line: echo ${END} >>FILE`;

/**
 * Whether the text is certain to be the whole file. JSON, and lists in brackets, are invalid without their closing bracket. YAML
 * in block style is valid even if it is cut between two lines, and without a last `to` or `expires` it grants more.
 */
function hasEnd(text: string, { contents }: Document): boolean {
  if (text.trimEnd().endsWith(`\n${END}`)) return true;
  if (!isMap(contents)) return false;
  const keys = contents.get('keys', true);
  return contents.flow === true || (contents.items.length === 1 && isSeq(keys) && keys.flow === true);
}

/**
 * Reads keys as docs/security.md describes them, in YAML or JSON.
 * @throws AccessError with a line for each fault, which names its place and never quotes a value, since that might be a key
 */
export function readEntries(text: string): readonly Entry[] {
  const document = parse(text);
  const result = schema.validate(valueOf(document));
  if (result.error) throw new AccessError(result.error.details.map(({ message }) => withoutKeys(message)).join('\n'));
  // checked last: a file that holds no keys at all has more important faults
  if (!hasEnd(text, document)) throw new AccessError(NO_END);
  return result.value.keys;
}

/**
 * Reads the keys for look-ups.
 * @param usesBefore last uses of the file's previous version, which names that are still in it keep
 * @throws AccessError as {@link readEntries}
 */
export function readKeys(text: string, usesBefore: Keys['lastUses'] = new Map()): Keys {
  const entries = readEntries(text);
  const byStart = new Map<string, Known[]>();
  const lastUses = new Map<string, LastUse>();
  for (const entry of entries) {
    const { name, sha256, expires: _, ...grants } = entry;
    const digest = sha256.toLowerCase();
    const lastUse = lastUses.get(name) ?? usesBefore.get(name) ?? { atMs: 0 };
    lastUses.set(name, lastUse);
    const known = {
      digest: Buffer.from(digest),
      access: accessOf(name, grants),
      expiresMs: expiryMs(entry),
      lastUse,
    };
    byStart.set(startOf(digest), [...(byStart.get(startOf(digest)) ?? []), known]);
  }
  return { size: entries.length, lastUses, find: (digest) => find(byStart.get(startOf(digest)), digest) };
}

/** The key of the look-up map. Lookup timing can leak only digest bits, which do not reveal a key. */
const startOf = (digest: string): string => digest.slice(0, 16);

function find(candidates: readonly Known[] | undefined, digest: string): Access | undefined {
  if (candidates === undefined) return undefined;
  const presented = Buffer.from(digest);
  const known = candidates.find((each) => timingSafeEqual(each.digest, presented));
  if (known === undefined) return undefined;
  const nowMs = Date.now();
  if (known.expiresMs <= nowMs)
    throw unauthenticated(`this key expired at ${new Date(known.expiresMs).toISOString()}: ask for a new one`);
  known.lastUse.atMs = nowMs;
  return known.access;
}

function parse(text: string): Document {
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines });
  if (document.errors.length === 0) return document;
  const faults = document.errors.map(({ code, pos }) => {
    const { line, col } = lines.linePos(pos[0]);
    return `line ${line}, column ${col}: not valid YAML (${code})`;
  });
  throw new AccessError(faults.join('\n'));
}

function valueOf(document: Document): unknown {
  try {
    return document.toJS();
  } catch {
    throw new AccessError('an alias in it leads nowhere, or too far: write "*" in quotation marks');
  }
}
