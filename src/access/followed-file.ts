// A file that is read again when it changes: keys and other settings that take effect without a restart.
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { pollEvery } from '../timing/repeat.js';
import { AccessError } from './credentials.js';

export interface Followed<Contents> {
  readonly current: Contents;
  stop(): void;
}

export interface FollowOptions<Contents> {
  path: string;
  /** The variable that names the file. */
  setting: string;
  /** @throws AccessError when nobody can work with this text */
  read: (text: string) => Contents;
  log: Logger;
  /** How often the file is checked, ms. */
  everyMs?: number;
}

const EVERY_MS = 1_000;

/**
 * Reads the file, and reads it again when it changes. The file is polled, not watched: Kubernetes replaces a symbolic link when
 * a mounted Secret changes, editors rename a new file into place, and some file systems report neither. A change counts once two
 * checks in a row have seen it, so that a file that is still being written is not read.
 * @throws AccessError when it cannot be read at the start; a later text that cannot be used is logged, and the last good one stays
 */
export async function followFile<Contents>(options: FollowOptions<Contents>): Promise<Followed<Contents>> {
  const { path, setting, log, everyMs = EVERY_MS } = options;
  let inForce = await stateOf(path);
  let current = await readNow(options);
  let seen = inForce;

  async function check(): Promise<void> {
    const state = await stateOf(path);
    const settled = state === seen;
    seen = state;
    if (!settled || state === inForce) return;
    inForce = state;
    try {
      current = await readNow(options);
      log.info({ path }, `${setting} has changed: the new contents are in force`);
    } catch (error) {
      const { message } = error as AccessError;
      log.error({ path }, `${message}\nThe contents from before the change stay in force; correct the file.`);
    }
  }

  return {
    get current() {
      return current;
    },
    stop: pollEvery(everyMs, check),
  };
}

/** A text that changes with the file, also when a symbolic link on its path was replaced. */
const stateOf = (path: string): Promise<string> =>
  stat(path, { bigint: true }).then(
    ({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(),
    (error: unknown) => String((error as NodeJS.ErrnoException).code),
  );

async function readNow<Contents>({ path, setting, read }: FollowOptions<Contents>): Promise<Contents> {
  try {
    return read(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = (error as Error).message;
    throw new AccessError(`${setting} cannot be used (${path}):\n${reason}`);
  }
}
