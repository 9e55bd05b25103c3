// Adds entries to AIZUMI_API_KEYS_FILE and removes them; keys-file.ts reads them.
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

/** @returns the text of a file with only this entry. @throws AccessError if it is not valid */
export const entryText = (entry: Entry): string => withEntry(NOTHING_YET, entry).toString(PLAIN);

/**
 * Adds an entry; creates the file if it is missing. Comments and the order of the others are preserved.
 * @throws AccessError if the file or the entry is not valid, or the file cannot be written; Error if it cannot be read
 */
export const addEntry = (file: string, entry: Entry): void =>
  changeFile(file, (text = NOTHING_YET) => withEntry(text, entry));

/**
 * Removes entries, by the SHA-256 of their keys. Comments and the order of the others are preserved.
 * @throws AccessError if the file is not valid or cannot be written; Error if it cannot be read
 */
export const removeEntries = (file: string, digests: readonly string[]): void =>
  changeFile(file, (text = NOTHING_YET) => withoutEntries(text, digests));

/** The style of docs/security.md: [100, 200-299], and no new line breaks. */
const PLAIN = { lineWidth: 0, flowCollectionPadding: false };
const OWNER_ONLY = 0o600;
const MODE = 0o7777;

/**
 * Writes a new file beside the old one and then renames it over that, so that a concurrent reader sees either the old or the new
 * file. The unfinished file is also a lock: without it one of two concurrent changes would be lost.
 * @param change receives the file's text; undefined if there is no file
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
    throw new AccessError('a remaining entry refers to a removed one (a YAML alias): change the file by hand');
  }
}

/** Preserves owner, group and mode, so that the same users can read the file as before. */
function keepOwner(descriptor: number, { uid, gid, mode }: { uid: number; gid: number; mode: number }): void {
  const now = fstatSync(descriptor);
  if (now.uid !== uid || now.gid !== gid) fchownSync(descriptor, uid, gid);
  fchmodSync(descriptor, mode & MODE);
}

function cannotWrite(path: string, unfinished: string, error: unknown): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const advice: Record<string, string> = {
    EEXIST: `another change of it is under way, or was interrupted: if none is under way, remove ${unfinished}`,
    EROFS: 'it is read-only here: change it at its source (docs/operations.md, keys)',
    EACCES: 'this user may not write to its folder: run this as the user that owns it',
    EPERM: 'this user may not preserve its owner: run this as the user that owns it',
    EBUSY: 'the file itself is a mount and cannot be replaced: mount its folder instead',
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
  // from the end, since a removal shifts the entries behind it
  for (const [i, { sha256 }] of [...entries.entries()].reverse())
    if (digests.includes(sha256)) document.deleteIn(['keys', i]);
  return ended(document);
}

/** Adds the end marker that shows that the file is complete, and checks the text as a worker will. */
function ended(document: Document.Parsed): Document {
  document.directives.docEnd = true;
  readKeys(textOf(document, ''));
  return document;
}

/** Creates the entry's YAML node with lists on one line: [100, 200-299] */
function nodeOf(document: Document, entry: Entry): unknown {
  const node = document.createNode(entry) as YAMLMap;
  for (const { value } of node.items) if (isSeq(value)) value.flow = true;
  return node;
}
