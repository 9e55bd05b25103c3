// The text of AIZUMI_API_KEYS_FILE → the keys that are known, and who has which.
import { timingSafeEqual } from 'node:crypto';
import Joi from 'joi';
import { LineCounter, isMap, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { withoutKeys } from './api-key.js';
import { AccessError, unauthenticated } from './credentials.js';
import { GRANTS, accessOf } from './permissions.js';
import type { Access, Grants } from './permissions.js';

/** When a client was last let in with one of its keys, ms since 1970; 0: not yet. */
export interface LastUse {
  atMs: number;
}

export interface Keys {
  readonly size: number;
  /** Of each name in the file. */
  readonly lastUses: ReadonlyMap<string, LastUse>;
  /**
   * Notes when it was, for {@link lastUses}.
   * @param digest of the key that was presented
   * @returns undefined where it is nobody's
   * @throws BrokerError unauthenticated when it has expired
   */
  find(digest: string): Access | undefined;
}

/** A key, as the file has it. */
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

/** An ISO date alone is its first moment, UTC. */
export const isDate = (text: string): boolean => ISO_DATE.test(text) && !Number.isNaN(Date.parse(text));

const expiryMs = ({ expires }: Entry): number => (expires === undefined ? Infinity : Date.parse(expires));

export const isExpired = (entry: Entry): boolean => expiryMs(entry) <= Date.now();

/** Of entries that are not checked yet. */
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

/** The last line of a file in YAML, which has no other end. */
export const END = '...';

const NO_END =
  `its last line must be ${END} (three dots, YAML's end of a document): a file cut short could allow more than the whole one. ` +
  `If it is whole, add that line: echo ${END} >>FILE`;

/**
 * Whether the text is certain to be the whole file. JSON, and lists in brackets, end with a bracket that closes; without it they
 * are not valid. A file of lines is valid wherever it is cut between two of them, and says more without its last `to` or
 * `expires`.
 */
function hasEnd(text: string, { contents }: Document): boolean {
  if (text.trimEnd().endsWith(`\n${END}`)) return true;
  if (!isMap(contents)) return false;
  const keys = contents.get('keys', true);
  return contents.flow === true || (contents.items.length === 1 && isSeq(keys) && keys.flow === true);
}

/**
 * Reads keys as docs/security.md describes them, in YAML or JSON.
 * @throws AccessError; a line for each fault, which says where it is and never what stands there: it might be a key
 */
export function readEntries(text: string): readonly Entry[] {
  const document = parse(text);
  const result = schema.validate(valueOf(document));
  if (result.error) throw new AccessError(result.error.details.map(({ message }) => withoutKeys(message)).join('\n'));
  // last: what is no file of keys at all has other faults
  if (!hasEnd(text, document)) throw new AccessError(NO_END);
  return result.value.keys;
}

/**
 * The same, to be asked whose a key is.
 * @param usesBefore of the file as it was before: names that stay have been used when they were
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

/** The map's index. Lookup timing can leak only digest bits, which do not reveal a key. */
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
