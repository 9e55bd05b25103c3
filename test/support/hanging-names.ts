// Run by test/system/names.test.ts where no DNS server answers: what ends first, look-ups that hang or what needs a thread?
import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { lookUp } from '../../src/names/host-names.js';

/** More than there are threads. */
const HANGING = 10;

const ended: string[] = [];
const note = (what: string): void => void ended.push(what);
const connections = Array.from(
  { length: HANGING },
  (_, i) =>
    new Promise<void>((resolve) => {
      const socket = createConnection({ host: `hanging-${i}.test`, port: 6379, lookup: lookUp });
      socket.once('error', () => note('connection')).once('close', () => resolve());
    }),
);
// by then they hang
setTimeout(() => {
  const inPool = [lookup('localhost').then(() => note('localhost')), readFile('/etc/hosts').then(() => note('file'))];
  void Promise.all([...connections, ...inPool]).then(() => console.log(JSON.stringify(ended)));
}, 100);
