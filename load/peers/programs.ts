// Where the programs of Debian packages are: on the PATH, or in the folder that load/peers/prepare.sh fills.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export const FOLDER = process.env.AIZUMI_LOAD_PEERS_FOLDER ?? '/var/tmp/aizumi-tools/peers';

const SEARCHED = [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
  join(FOLDER, 'usr/bin'),
  join(FOLDER, 'usr/sbin'),
];

export const programPath = (name: string): string | undefined =>
  SEARCHED.map((folder) => join(folder, name)).find((path) => existsSync(path));

/** The reason for skipping a system, for whoever reads the output. */
export function missingProgram(name: string, debianPackage: string): string | undefined {
  if (programPath(name)) return undefined;
  return `${name} is not installed: load/peers/prepare.sh fetches it into ${FOLDER}, or apt-get install ${debianPackage}`;
}

/** What was extracted and not installed finds its libraries in its own folder. */
export function environmentFor(path: string): NodeJS.ProcessEnv {
  return path.startsWith(FOLDER)
    ? { ...process.env, LD_LIBRARY_PATH: join(FOLDER, 'usr/lib/x86_64-linux-gnu') }
    : process.env;
}
