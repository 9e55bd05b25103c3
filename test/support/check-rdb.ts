// redis-check-rdb of the server under test, which reads the format that it writes: the server's own program by another name.
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { testServerProgram } from '../../harness/redis-server.js';

/** Puts it into a folder, which then comes first in the PATH of a script. */
export function putCheckRdb(folder: string): void {
  const server = testServerProgram.includes('/')
    ? resolve(testServerProgram)
    : process.env
        .PATH!.split(':')
        .map((entry) => join(entry, testServerProgram))
        .find(existsSync)!;
  const name = join(folder, 'redis-check-rdb');
  const text = readFileSync(server);
  // a script that starts the program elsewhere would not pass its own name on
  if (text.subarray(0, 2).toString() !== '#!') symlinkSync(server, name);
  else writeFileSync(name, text.toString().replace(/(redis|valkey)-server "/, '$1-check-rdb "'), { mode: 0o755 });
}
