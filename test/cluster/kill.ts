// Kills processes without warning, as a crash or the out-of-memory killer does.
import { CLIENTS, killerOn } from './install.js';
import { exec } from './kubectl.js';
import type { Pod } from './pods.js';

/** Why nothing can be killed; undefined when it can. */
export const nothingToKillWith = async (node: string): Promise<string | undefined> =>
  (await killerOn(node)) === undefined ? 'the cluster admits no pod that sees the processes of its node' : undefined;

/** SIGKILL to every process of a container. */
export async function kill(pod: Pod, container: string): Promise<void> {
  const killer = await killerOn(pod.node);
  if (killer === undefined) throw new Error(`no pod on ${pod.node} may kill processes`);
  const killed = await exec({ namespace: CLIENTS, pod: killer }, [
    'node',
    '/programs/kill.mjs',
    pod.containers[container]!,
  ]);
  if (Number(killed) === 0) throw new Error(`${pod.name} has no process of ${container} that could be killed`);
}
