// The origin of the figures: a line below the table.
import { execFile } from 'node:child_process';
import { loadavg } from 'node:os';
import { promisify } from 'node:util';
import { ROOT, get, kubectl } from './kubectl.js';
import type { Doc } from './kubectl.js';

/** Kubernetes, its nodes, the commit, the time; and how busy this machine is, which matters where the nodes are on it. */
export async function origin(): Promise<string> {
  const version = (JSON.parse(await kubectl('version', '--output', 'json')) as Doc).serverVersion.gitVersion as string;
  const { items } = (await get('nodes')) as { items: Doc[] };
  // a copy without its history has none
  const commit = await promisify(execFile)('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).then(
    ({ stdout }) => stdout.trim(),
    () => 'unknown',
  );
  const time = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const busy = loadavg()
    .map((load) => load.toFixed(1))
    .join(', ');
  return `Kubernetes ${version}, ${items.length} nodes; commit ${commit}; ${time} UTC; load of this machine ${busy}.`;
}
