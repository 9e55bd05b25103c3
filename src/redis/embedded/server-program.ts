// Finds the redis-server or valkey-server to run as the embedded server, and checks that it is new enough.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const NAMES = ['redis-server', 'valkey-server'];
/** Folders where package managers put servers, and which the PATH of services and cron jobs often lacks. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/opt/homebrew/bin'];
const OLDEST_REDIS = 7;
const ADVICE =
  'run `npm run setup`, or set AIZUMI_REDIS_SERVER to the path of a redis-server (7.0 or newer) or valkey-server';

/**
 * @param program a path, or a name to be looked up; by default redis-server, else valkey-server
 * @returns the path of the program
 * @throws Error that names what to do if there is none, or if it is older than Redis 7.0
 */
export async function findServerProgram(program?: string): Promise<string> {
  const found = program?.includes('/') ? await executable(resolve(program)) : await lookUp(program ? [program] : NAMES);
  if (found === undefined) {
    throw new Error(
      program === undefined
        ? `no Redis server program found on this machine: ${ADVICE}`
        : `no program ${program} found to run as the Redis server: ${ADVICE}`,
    );
  }
  await checkVersion(found);
  return found;
}

async function lookUp(names: string[]): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...MORE_FOLDERS];
  for (const name of names) {
    for (const folder of folders) {
      const found = await executable(resolve(join(folder, name)));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

async function executable(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile() ? path : undefined;
  } catch {
    return undefined; // missing, or not executable for this user: the next folder may have one
  }
}

async function checkVersion(program: string): Promise<void> {
  const output = await promisify(execFile)(program, ['--version'], { timeout: 10_000 }).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => {
      throw new Error(`cannot run ${program} --version (${(error as Error).message.trim()}): ${ADVICE}`, {
        cause: error,
      });
    },
  );
  const match = /^(Redis|Valkey) server v=((\d+)\.\S+)/.exec(output);
  if (!match)
    throw new Error(`${program} is neither a redis-server nor a valkey-server (it reports: ${output}): ${ADVICE}`);
  const [, kind, version, major] = match;
  if (kind === 'Redis' && Number(major) < OLDEST_REDIS) {
    throw new Error(`${program} is Redis ${version}, and aizumi needs Redis 7.0 or newer, or any Valkey: ${ADVICE}`);
  }
}
