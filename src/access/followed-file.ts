// A file whose contents are in force, and those that it gets later too.
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { lookEvery } from '../timing/repeat.js';
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
  /** How often to look, ms. */
  everyMs?: number;
}

const EVERY_MS = 1_000;

/**
 * Reads the file, and again when it changes. It is looked at, not watched: Kubernetes changes a mounted Secret by turning a
 * symbolic link, editors by renaming, and some file systems tell of neither. A change counts when it is the same at the next
 * look, so that a file that is being written is not read in the middle.
 * @throws AccessError when it cannot be read now; a later text that is bad is logged, and the last good one stays in force
 */
export async function followFile<Contents>(options: FollowOptions<Contents>): Promise<Followed<Contents>> {
  const { path, setting, log, everyMs = EVERY_MS } = options;
  let inForce = await stateOf(path);
  let current = await readNow(options);
  let seen = inForce;

  async function look(): Promise<void> {
    const state = await stateOf(path);
    const settled = state === seen;
    seen = state;
    if (!settled || state === inForce) return;
    inForce = state;
    try {
      current = await readNow(options);
      log.info({ path }, `${setting} has changed: what it says now is in force`);
    } catch (error) {
      log.error({ path }, `${(error as AccessError).message}\nWhat it said before stays in force.`);
    }
  }

  return {
    get current() {
      return current;
    },
    stop: lookEvery(everyMs, look),
  };
}

/** Changes with the file, also where a link on the way to it was turned. */
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
