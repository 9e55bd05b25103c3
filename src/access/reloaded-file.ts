// A file that is reloaded when it changes, so that keys take effect without a restart.
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { pollEvery } from '../timing/repeat.js';
import { AccessError } from './credentials.js';

export interface ReloadedFile<Contents> {
  readonly current: Contents;
  stop(): void;
}

export interface ReloadOptions<Contents> {
  path: string;
  /** The environment variable that names the file. */
  setting: string;
  /** @throws AccessError if the text is invalid */
  read: (text: string) => Contents;
  log: Logger;
  /** How often the file is checked, ms. */
  everyMs?: number;
}

const EVERY_MS = 1_000;

/**
 * Reads the file, and reloads it when it changes. The file is polled, not watched: Kubernetes replaces a symbolic link when
 * a mounted Secret changes, editors rename a new file into place, and some file systems report neither. A change is loaded once
 * two checks in a row have found the same state, so that a file that is still being written is not read.
 * @throws AccessError if it cannot be used at the start; later, unusable contents are logged and the last good ones stay in force
 */
export async function openReloadedFile<Contents>(options: ReloadOptions<Contents>): Promise<ReloadedFile<Contents>> {
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

/** A text that changes with the file, and when a symbolic link on its path is replaced. */
const stateOf = (path: string): Promise<string> =>
  stat(path, { bigint: true }).then(
    ({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(),
    (error: unknown) => String((error as NodeJS.ErrnoException).code),
  );

async function readNow<Contents>({ path, setting, read }: ReloadOptions<Contents>): Promise<Contents> {
  try {
    return read(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = (error as Error).message;
    throw new AccessError(`${setting} cannot be used (${path}):\n${reason}`);
  }
}
