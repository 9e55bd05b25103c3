// Refuses a data folder whose data the embedded server would not load, before the server starts empty on it.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A server loads the files that the manifest names, or a single file written by Redis 6, which it converts. */
const MANIFEST = 'appendonly.aof.manifest';
const OLD_FILE = 'appendonly.aof';

/**
 * With `appendonly yes` a server loads only its append-only file. If that is missing, it starts empty without a warning,
 * whatever else is in the folder: a snapshot that somebody wants to restore, or files without their manifest.
 *
 * @throws Error that names the data and what to do with it
 */
export async function refuseUnreadData(dir: string): Promise<void> {
  const [files, appendOnly] = await Promise.all([namesIn(dir), namesIn(join(dir, 'appendonlydir'))]);
  if (appendOnly.includes(MANIFEST) || files.includes(OLD_FILE)) return;
  if (appendOnly.length > 0)
    throw new Error(
      `${join(dir, 'appendonlydir')} has ${appendOnly.join(', ')}, but not ${MANIFEST}, without which Redis starts empty: ` +
        'put the manifest back from a copy of the folder; or move appendonlydir away, to start without these messages',
    );
  if (files.includes('dump.rdb'))
    throw new Error(
      `${dir} has a snapshot, dump.rdb, and no append-only file, so that Redis would start empty. To load the snapshot, run ` +
        `\`DATA="${dir}" sh deploy/restore.sh "${join(dir, 'dump.rdb')}"\` in aizumi's folder and start again; ` +
        'to start without its messages, move it away',
    );
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
