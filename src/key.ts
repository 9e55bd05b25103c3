// Makes an API key: npm run key -- --name billing --send 100 --receive 200-299; in the image: node dist/key.js.
import { parseArgs } from 'node:util';
import { digestOf, newKey } from './access/api-key.js';
import { AccessError } from './access/credentials.js';
import { addEntry, entryText } from './access/key-entries.js';
import type { Entry } from './access/keys-file.js';
import { ACTIONS } from './access/permissions.js';

const USAGE = `usage: key --name NAME [--send LIST] [--to LIST] [--receive LIST] [--look LIST] [--administer LIST]
           [--expires DATE] [--file FILE]

NAME is the client's; it may have several keys at a time. A LIST is of addresses and ranges, such as 100,200-299; "*" is all.
  --send        as whom it may SEND
  --to          to whom; everybody if not given
  --receive     as whom it may RECV, FREE, KEEP, BACK, HELO, STAT, GBYE
  --look        whose messages it may PEEK, and whose queue it may see with STAT and at GET /queues
  --administer  whose messages it may MOVE and DROP; it may look at them, too
  --expires     2027-01-31 or 2027-01-31T12:00:00Z: the key is good until then; for ever if not given
  --file        AIZUMI_API_KEYS_FILE: the key is added there, which aizumi notices by itself; made if it is not there

The key is printed on standard output, once: it is kept nowhere. What belongs into the file has only its digest.`;

/** A key, and what the file is to say of it. */
function make(args: string[]): { key: string; entry: Entry; file: string | undefined } {
  const list = { type: 'string', multiple: true } as const;
  const options = { name: { type: 'string' }, expires: { type: 'string' }, file: { type: 'string' } } as const;
  const { values } = parseArgs({
    args,
    options: { ...options, send: list, to: list, receive: list, look: list, administer: list },
  });
  const { name = '', expires, file } = values;
  if (!values.send && !values.receive && !values.look && !values.administer)
    throw new AccessError('give --send, --receive, --look or --administer: a key without them is good for nothing');
  const grants = ACTIONS.flatMap((action) => {
    const given = values[action];
    return given ? [[action, given.join(',').split(',').map(asWritten)]] : [];
  });
  const key = newKey();
  const entry = { name, sha256: digestOf(key), ...Object.fromEntries(grants), ...(expires && { expires }) } as Entry;
  return { key, entry, file };
}

const asWritten = (text: string): number | string => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());

try {
  const args = process.argv.slice(2);
  if (args.length === 0 || args.includes('--help')) {
    console.log(USAGE);
  } else {
    const { key, entry, file } = make(args);
    const text = entryText(entry); // says what is wrong before anything is touched
    if (file === undefined) console.error(`To be added to AIZUMI_API_KEYS_FILE:\n\n${text}`);
    else addEntry(file, entry);
    console.log(key);
  }
} catch (error) {
  // the arguments' faults are the person's, and so is a file that cannot be read or written: no stack
  console.error((error as Error).message);
  process.exitCode = 1;
}
