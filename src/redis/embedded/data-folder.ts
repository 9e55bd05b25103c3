// The embedded server's data folder, the private folder in it for sockets, and a short path to that if the real one is too long.
import { createHash } from 'node:crypto';
import { chmod, lstat, lutimes, mkdir, readlink, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { LONGEST_LOCK_NAME, takeLock } from './folder-lock.js';

/** A data folder that this process owns. */
export interface DataFolder {
  /** The folder itself, as a real path. */
  readonly dir: string;
  /** The folder for sockets, mode 0700; its path is short enough for a unix socket. */
  readonly sockets: string;
  /** Releases the folder, so that another process can open it. */
  release(): Promise<void>;
}

/** The path of a unix socket may have 107 bytes on Linux, 103 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100;

/** How often the short path is touched: cleaners of temporary folders remove what was not touched for days. */
const TOUCH_MS = 3_600_000;

/**
 * Opens `dataDir`, creating it if it is missing, and makes this process its only owner.
 * @throws Error that names what to do if the folder cannot be used or has another owner
 */
export async function openDataFolder(dataDir: string, log: Logger): Promise<DataFolder> {
  const uid = process.getuid?.();
  if (uid === undefined) {
    throw new Error(
      'the embedded Redis server needs Linux or macOS: set AIZUMI_REDIS_URL to a Redis that runs elsewhere',
    );
  }
  const dir = await makeDataDir(dataDir, uid);
  const folder = join(dir, 'run');
  await makePrivate(folder, uid);
  if (fits(folder)) return { dir, sockets: folder, release: await takeLock(folder, dir) };

  const alias = await makeAlias(folder, uid);
  const release = await takeLock(alias.path, dir);
  const touching = setInterval(() => {
    alias
      .touch()
      .catch((error: unknown) =>
        log.error({ err: error }, `could not refresh ${alias.path}, the path of Redis's socket`),
      );
  }, TOUCH_MS).unref();
  return {
    dir,
    sockets: alias.path,
    async release() {
      clearInterval(touching);
      await release();
      await alias.remove();
    },
  };
}

async function makeDataDir(dataDir: string, uid: number): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    return await realpath(dataDir);
  } catch (error) {
    throw new Error(
      `cannot use ${dataDir} as the data folder (${(error as Error).message}): ` +
        `let user ${uid} write there, or set AIZUMI_DATA_DIR to another folder`,
      { cause: error },
    );
  }
}

/** Creates `folder`, or reuses it if it belongs to this user, and lets only this user enter it. */
async function makePrivate(folder: string, uid: number): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Error(
      `cannot make the folder ${folder} (${(error as Error).message}): ` +
        `let user ${uid} write there, or set AIZUMI_DATA_DIR to another folder`,
      {
        cause: error,
      },
    );
  }
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== uid) {
    throw new Error(`${folder} is not a folder of user ${uid}: remove it, so that aizumi can make its own`);
  }
  // Kubernetes gives the pod's group access to a volume's folders when it mounts them (fsGroup)
  if ((found.mode & 0o777) !== 0o700) await chmod(folder, 0o700);
}

function fits(folder: string): boolean {
  return Buffer.byteLength(join(folder, LONGEST_LOCK_NAME)) <= MAX_SOCKET_PATH_BYTES;
}

/**
 * Creates a short path to `folder`, for sockets: a symbolic link in a private temporary folder.
 * The sockets themselves stay in the data folder, so that its lock and a leftover server are found whatever TMPDIR is.
 */
async function makeAlias(folder: string, uid: number) {
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  const parent = join(tmpdir(), `aizumi-${uid}-${hash}`);
  const path = join(parent, 'r');
  if (!fits(path))
    throw new Error(
      `the paths of ${folder} and of ${tmpdir()} are both too long for a unix socket: ` +
        'set AIZUMI_DATA_DIR or TMPDIR to a shorter one',
    );

  async function make(): Promise<void> {
    await makePrivate(parent, uid);
    try {
      await symlink(folder, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const target = await readlink(path);
    if (target !== folder)
      throw new Error(`${path} leads to ${target} instead of ${folder}: remove it, so that aizumi can make its own`);
  }

  await make();
  return {
    path,
    async touch(): Promise<void> {
      await make();
      await lutimes(path, new Date(), new Date());
    },
    remove: () => rm(parent, { recursive: true, force: true }),
  };
}
