// The lock that gives a data folder of the embedded server one owner. The kernel releases it however that owner ends.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from './socket-ask.js';
import type { Answer } from './socket-ask.js';

/** The longest name of a lock's socket, for checking that its path is within the system's limit. */
export const LONGEST_LOCK_NAME = '4194304.0123abcd.lock';

const ANSWER_MS = 2000;

interface Rival {
  readonly name: string;
  readonly pid: string;
  readonly state: 'starting' | 'owner' | 'silent';
}

/**
 * Takes the lock of `folder`.
 *
 * A lock is a unix socket on which its process listens: it answers as long as the process lives and refuses connections ever
 * after. That holds across containers, and a reused pid cannot confuse it. Every process first announces itself under a name that
 * is never used again, and only then checks the others: of two that start together at least one sees the other, and removing a
 * dead lock can never remove a live one.
 * @returns a function that releases the lock
 * @throws Error that names `dataDir` if a live process has the lock
 */
export async function takeLock(folder: string, dataDir: string): Promise<() => Promise<void>> {
  const name = `${process.pid}.${randomBytes(4).toString('hex')}.lock`;
  let state: Rival['state'] = 'starting';
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy()); // the process that asked has closed the connection
    socket.once('data', () => socket.end(`${process.pid} ${state}\r\n`));
  });
  server.unref();

  async function release(): Promise<void> {
    server.close();
    await rm(join(folder, name), { force: true });
  }

  await announce(server, folder, name);
  try {
    await outlastRivals(folder, name, dataDir);
  } catch (error) {
    await release();
    throw error;
  }
  state = 'owner';
  return release;
}

/** Listens first, and takes the lock's name afterwards, so that a name that others see either answers or is dead. */
async function announce(server: Server, folder: string, name: string): Promise<void> {
  const unseen = join(folder, name.replace(/\.lock$/, '.new'));
  try {
    // exclusive: in a worker of node:cluster this process must listen, not the supervisor
    server.listen({ path: unseen, exclusive: true });
    await once(server, 'listening');
  } catch (error) {
    throw new Error(
      `cannot make a unix socket in ${folder} (${(error as Error).message}): ` +
        'set AIZUMI_DATA_DIR to a folder on a local disk that this user may write to',
      { cause: error },
    );
  }
  await rename(unseen, join(folder, name));
}

async function outlastRivals(folder: string, name: string, dataDir: string): Promise<void> {
  for (;;) {
    const rivals = await liveRivals(folder, name);
    // of processes that start together the first by name wins
    const winner = rivals.find((rival) => rival.state !== 'starting' || rival.name < name);
    if (winner) {
      const silence = winner.state === 'silent' ? ', which does not answer' : '';
      throw new Error(
        `the data folder ${dataDir} is in use by another aizumi (pid ${winner.pid}${silence}): ` +
          'stop that one, or set AIZUMI_DATA_DIR to a folder of its own for this one',
      );
    }
    if (rivals.length === 0) return;
    await delay(10);
  }
}

async function liveRivals(folder: string, own: string): Promise<Rival[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.lock') && name !== own);
  const rivals: Rival[] = [];
  for (const name of names) {
    const answer = await askOwner(join(folder, name));
    if (answer.status === 'absent') {
      await rm(join(folder, name), { force: true });
    } else if (answer.status === 'replied') {
      const [pid = '?', state] = answer.reply.split(' ');
      rivals.push({ name, pid, state: state === 'starting' ? 'starting' : 'owner' });
    } else {
      rivals.push({ name, pid: name.split('.')[0] ?? '?', state: 'silent' });
    }
  }
  return rivals;
}

/** A lock that is being released closes the connection without an answer: after a retry it is absent. */
async function askOwner(path: string): Promise<Answer> {
  let answer = await ask(path, 'WHO', ANSWER_MS);
  for (let tries = 1; answer.status === 'closed' && tries < 10; tries += 1) {
    await delay(10);
    answer = await ask(path, 'WHO', ANSWER_MS);
  }
  return answer;
}
