// Creates, lists and revokes API keys: npm run key -- --name billing --send 100; in the image: node dist/bin/key.js.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { digestOf, newKey } from '../access/api-key.js';
import { AccessError } from '../access/credentials.js';
import { addEntry, entryText, removeEntries } from '../access/key-entries.js';
import { closeNames, idOf, jsonOf, linesOf, summaryOf, tableOf } from '../access/key-words.js';
import { readEntries } from '../access/keys-file.js';
import type { Entry } from '../access/keys-file.js';
import { ACTIONS } from '../access/permissions.js';

const USAGE = `usage: key --name NAME [--send LIST] [--to LIST] [--receive LIST] [--look LIST] [--administer LIST]
           [--expires DATE] [--file FILE]
       key list [--json] [--file FILE]
       key show NAME [--json] [--file FILE]
       key revoke NAME [--id ID | --all] [--file FILE]

NAME is the client's; it may have several keys at a time. A LIST is of addresses and ranges, such as 100,200-299; "*" is all.
  --send        as whom it may SEND
  --to          to whom; everybody if not given
  --receive     as whom it may RECV, FREE, KEEP, BACK, HELO, STAT, GBYE
  --look        whose messages it may PEEK, and whose queue it may see with STAT and at GET /queues
  --administer  whose messages it may MOVE and DROP; this includes --look
  --expires     2027-01-31 or 2027-01-31T12:00:00Z: the key is valid until then; forever if not given
  --file        AIZUMI_API_KEYS_FILE: the key is added there, and aizumi reloads the file by itself; it is created if missing

The key is printed on standard output, once, and is stored nowhere: the file has only its digest.

list, show and revoke take the file that AIZUMI_API_KEYS_FILE names, unless --file names another. A key that is revoked is refused
within two seconds. Of several keys of one name, show has each one's ID; --all revokes them all.`;

/** Prints a new key, and adds its entry to the file, or prints that too. */
function make(args: string[]): void {
  const list = { type: 'string', multiple: true } as const;
  const options = { name: { type: 'string' }, expires: { type: 'string' }, file: { type: 'string' } } as const;
  const { values } = parseArgs({
    args,
    options: { ...options, send: list, to: list, receive: list, look: list, administer: list },
  });
  const { name = '', expires, file } = values;
  if (!values.send && !values.receive && !values.look && !values.administer)
    throw new AccessError('give --send, --receive, --look or --administer: a key without them permits nothing');
  const grants = ACTIONS.flatMap((action) => {
    const given = values[action];
    return given ? [[action, given.join(',').split(',').map(asWritten)]] : [];
  });
  const key = newKey();
  const entry = { name, sha256: digestOf(key), ...Object.fromEntries(grants), ...(expires && { expires }) } as Entry;
  const text = entryText(entry); // throws if something is wrong, before anything is written
  if (file === undefined) console.error(`To be added to AIZUMI_API_KEYS_FILE:\n\n${text}`);
  else addEntry(file, entry);
  console.log(key);
}

const asWritten = (text: string): number | string => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());

const FILE = { file: { type: 'string' } } as const;
const JSON_TOO = { ...FILE, json: { type: 'boolean' } } as const;

function list(args: string[]): void {
  const { json, file } = parseArgs({ args, options: JSON_TOO }).values;
  const entries = entriesIn(fileFrom(file));
  if (json) printJson(entries);
  else console.log(entries.length === 0 ? 'no keys' : tableOf(entries));
}

function show(args: string[]): void {
  const { values, positionals } = parseArgs({ args, options: JSON_TOO, allowPositionals: true });
  const file = fileFrom(values.file);
  const entries = entriesNamed(nameIn('show', positionals), file);
  if (values.json) printJson(entries);
  else console.log(entries.map(linesOf).join('\n\n'));
}

function revoke(args: string[]): void {
  const options = { ...FILE, id: { type: 'string' }, all: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const name = nameIn('revoke', positionals);
  const file = fileFrom(values.file);
  const named = entriesNamed(name, file);
  const id = values.id?.toLowerCase();
  const chosen = id === undefined ? named : named.filter((entry) => idOf(entry) === id);
  if (chosen.length !== 1 && values.all !== true) throw new AccessError(severalKeys(name, named, id));
  removeEntries(
    file,
    chosen.map(({ sha256 }) => sha256),
  );
  const what = chosen.length === 1 ? 'a key' : `${chosen.length} keys`;
  const left = named.length - chosen.length;
  console.log(`${what} of ${name} revoked, ${left} left: workers that read ${file} refuse it within two seconds`);
}

function severalKeys(name: string, entries: readonly Entry[], id: string | undefined): string {
  const which = id === undefined ? `has ${entries.length} keys` : `has no key with the ID ${id}`;
  return `${name} ${which}: give --id with one of these, or --all\n${entries.map(summaryOf).join('\n')}`;
}

function entriesNamed(name: string, file: string): readonly Entry[] {
  const entries = entriesIn(file);
  const named = entries.filter((entry) => entry.name === name);
  if (named.length > 0) return named;
  const close = closeNames(name, entries);
  const advice = close.length > 0 ? `did you mean ${close.join(' or ')}?` : 'key list shows whose keys there are';
  throw new AccessError(`${file} has no key of ${name}: ${advice}`);
}

function entriesIn(file: string): readonly Entry[] {
  try {
    return readEntries(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new AccessError(`${file} cannot be used:\n${(error as Error).message}`);
  }
}

function nameIn(command: string, [name, ...more]: string[]): string {
  if (name !== undefined && more.length === 0) return name;
  throw new AccessError(`give one name: key ${command} NAME (key list shows them)`);
}

function fileFrom(given: string | undefined): string {
  const file = given ?? process.env.AIZUMI_API_KEYS_FILE;
  if (file) return file;
  throw new AccessError('give --file FILE, or set AIZUMI_API_KEYS_FILE: the file that has the keys');
}

const printJson = (entries: readonly Entry[]): void => console.log(JSON.stringify(entries.map(jsonOf), undefined, 2));

const COMMANDS: Record<string, (args: string[]) => void> = { list, show, revoke };

try {
  const [first = '--help', ...rest] = process.argv.slice(2);
  const command = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  if ([first, ...rest].includes('--help')) console.log(USAGE);
  else if (command) command(rest);
  else make([first, ...rest]);
} catch (error) {
  // wrong arguments, or a file that cannot be read or written: no stack trace
  console.error((error as Error).message);
  process.exitCode = 1;
}
