// The logs of all pods during an event, kept in a folder: those of a pod that was deleted are gone otherwise.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NAMESPACE, call } from './kubectl.js';
import { REDIS, WORKERS } from './pods.js';

const SELECTORS = { redis: REDIS, workers: WORKERS };

/** @returns stops it, and adds what pods wrote that were not there at the beginning */
export function followLogs(folder: string, event: string): () => Promise<void> {
  const since = new Date().toISOString();
  mkdirSync(folder, { recursive: true });
  const fileOf = (name: string): string =>
    join(folder, `${since.slice(11, 19).replaceAll(':', '')}-${event.replaceAll(/[^\w]+/g, '-')}-${name}.log`);
  const argsOf = (selector: string): string[] => [
    ...['logs', '--namespace', NAMESPACE, '--selector', selector, '--all-containers', '--prefix', '--timestamps'],
    ...['--max-log-requests=30', `--since-time=${since}`],
  ];
  const followers = Object.entries(SELECTORS).map(([name, selector]) => {
    const follower = spawn('kubectl', [...argsOf(selector), '--follow'], { stdio: ['ignore', 'pipe', 'ignore'] });
    follower.stdout.pipe(createWriteStream(fileOf(name)));
    return follower;
  });
  return async () => {
    for (const follower of followers) follower.kill();
    for (const [name, selector] of Object.entries(SELECTORS)) {
      const { stdout } = await call([...argsOf(selector), '--tail=-1']).catch(() => ({ stdout: '' }));
      await writeFile(fileOf(`${name}-after`), stdout);
    }
  };
}
