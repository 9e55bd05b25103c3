// Entries of AIZUMI_API_KEYS_FILE, added and taken out: the other direction of keys-file.ts.
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { isSeq, parseDocument } from 'yaml';
import type { Document, YAMLMap } from 'yaml';
import { AccessError } from './credentials.js';
import { readEntries, readKeys } from './keys-file.js';
import type { Entry } from './keys-file.js';

const NOTHING_YET = 'keys: []';

/** @returns a file with this entry alone. @throws AccessError when it is not valid */
export const entryText = (entry: Entry): string => withEntry(NOTHING_YET, entry).toString(PLAIN);

/**
 * Adds an entry; makes the file if there is none. Comments and order stay.
 * @throws AccessError when the file or the entry is not valid; Error when it cannot be read or written
 */
export const addEntry = (file: string, entry: Entry): void =>
  changeFile(file, (text = NOTHING_YET) => withEntry(text, entry));

/**
 * Takes entries out, by the SHA-256 of their keys. Comments and order of the others stay.
 * @throws AccessError when the file is not valid; Error when it cannot be read or written
 */
export const removeEntries = (file: string, digests: readonly string[]): void =>
  changeFile(file, (text = NOTHING_YET) => withoutEntries(text, digests));

/** As docs/security.md writes it: [100, 200-299], and no line is broken that was not. */
const PLAIN = { lineWidth: 0, flowCollectionPadding: false };
const OWNER_ONLY = 0o600;
const MODE = 0o7777;

/**
 * Writes the file anew beside the old one, which it then replaces: whoever reads meanwhile has the file as it was or as it will
 * be. The unfinished file is also the lock: two changes at the same moment would lose one of them.
 * @param change gets the file's text; undefined: there is no file
 */
function changeFile(path: string, change: (text: string | undefined) => Document): void {
  const file = existsSync(path) ? realpathSync(path) : path;
  const unfinished = `${file}.new`;
  let descriptor: number;
  try {
    descriptor = openSync(unfinished, 'wx', OWNER_ONLY);
  } catch (error) {
    throw cannotWrite(path, unfinished, error);
  }
  try {
    const before = existsSync(file) ? statSync(file) : undefined;
    const document = change(before && readFileSync(file, 'utf8'));
    writeFileSync(descriptor, textOf(document, file));
    if (before) keepOwner(descriptor, before);
    fsyncSync(descriptor);
    renameSync(unfinished, file);
  } catch (error) {
    unlinkSync(unfinished);
    throw error instanceof AccessError ? error : cannotWrite(path, unfinished, error);
  } finally {
    closeSync(descriptor);
  }
}

function textOf(document: Document, file: string): string {
  try {
    return file.endsWith('.json') ? `${JSON.stringify(document, undefined, 2)}\n` : document.toString(PLAIN);
  } catch {
    throw new AccessError('an entry that stays refers to one that goes (a YAML alias): change the file by hand');
  }
}

/** Owner, group and mode as they were: workers that could read the file still can, and nobody else. */
function keepOwner(descriptor: number, { uid, gid, mode }: { uid: number; gid: number; mode: number }): void {
  const now = fstatSync(descriptor);
  if (now.uid !== uid || now.gid !== gid) fchownSync(descriptor, uid, gid);
  fchmodSync(descriptor, mode & MODE);
}

function cannotWrite(path: string, unfinished: string, error: unknown): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const advice: Record<string, string> = {
    EEXIST: `another change of it is under way, or was cut short: if nobody makes one, remove ${unfinished}`,
    EROFS: 'it is read-only here: change it where it comes from (docs/operations.md, keys)',
    EACCES: 'this user may not write to its folder: run this as the user that owns it',
    EPERM: 'this user may not keep its owner: run this as the user that owns it',
    EBUSY: 'the file is mounted alone, and cannot be replaced: mount its folder',
  };
  return new AccessError(`${path} was not changed: ${advice[code] ?? message}`);
}

function withEntry(text: string, entry: Entry): Document {
  readKeys(text);
  const document = parseDocument(text);
  document.addIn(['keys'], nodeOf(document, entry));
  const keys = document.get('keys');
  if (isSeq(keys) && keys.items.length === 1) keys.flow = false;
  return ended(document);
}

function withoutEntries(text: string, digests: readonly string[]): Document {
  const document = parseDocument(text);
  const entries = readEntries(text);
  // from the end: what is taken out changes the places behind it
  for (const [i, { sha256 }] of [...entries.entries()].reverse())
    if (digests.includes(sha256)) document.deleteIn(['keys', i]);
  return ended(document);
}

/** With an end that says that it is whole, and checked as aizumi will. */
function ended(document: Document.Parsed): Document {
  document.directives.docEnd = true;
  readKeys(textOf(document, ''));
  return document;
}

/** Lists in one line: [100, 200-299] */
function nodeOf(document: Document, entry: Entry): unknown {
  const node = document.createNode(entry) as YAMLMap;
  for (const { value } of node.items) if (isSeq(value)) value.flow = true;
  return node;
}
