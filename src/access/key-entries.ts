// An entry of AIZUMI_API_KEYS_FILE, written: the other direction of keys-file.ts.
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { isSeq, parseDocument } from 'yaml';
import type { Document, YAMLMap } from 'yaml';
import { readKeys } from './keys-file.js';
import type { Entry } from './keys-file.js';

const NOTHING_YET = 'keys: []';

/** @returns a file with this entry alone. @throws AccessError when it is not valid */
export const entryText = (entry: Entry): string => withEntry(NOTHING_YET, entry).toString();

/**
 * Adds an entry; makes the file if there is none. Comments and order stay, and whoever reads meanwhile has the file as it was
 * or as it will be.
 * @throws AccessError when the file or the entry is not valid; Error when it cannot be read or written
 */
export function addEntry(file: string, entry: Entry): void {
  const isThere = existsSync(file);
  const document = withEntry(isThere ? readFileSync(file, 'utf8') : NOTHING_YET, entry);
  const text = file.endsWith('.json') ? `${JSON.stringify(document, undefined, 2)}\n` : document.toString(PLAIN);
  const unfinished = `${file}.new`;
  writeFileSync(unfinished, text, { mode: isThere ? statSync(file).mode : 0o600, flag: 'wx' });
  renameSync(unfinished, file);
}

/** No line is broken that was not. */
const PLAIN = { lineWidth: 0 };

function withEntry(text: string, entry: Entry): Document {
  readKeys(text);
  const document = parseDocument(text);
  document.addIn(['keys'], nodeOf(document, entry));
  const keys = document.get('keys');
  if (isSeq(keys) && keys.items.length === 1) keys.flow = false;
  document.directives.docEnd = true;
  readKeys(document.toString());
  return document;
}

/** Lists in one line: [100, 200-299] */
function nodeOf(document: Document, entry: Entry): unknown {
  const node = document.createNode(entry) as YAMLMap;
  for (const { value } of node.items) if (isSeq(value)) value.flow = true;
  return node;
}
