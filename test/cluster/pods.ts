// Pods, and waiting until all that is installed is whole.
import { until } from '../support/until.js';
import { NAMESPACE, exec, get } from './kubectl.js';
import type { Doc } from './kubectl.js';

export interface Pod {
  name: string;
  uid: string;
  node: string;
  isReady: boolean;
  /** How often its containers were started again. */
  restarts: number;
  /** Container → its id, without the runtime's name. */
  containers: Readonly<Record<string, string>>;
}

export const WORKERS = 'app.kubernetes.io/name=aizumi,app.kubernetes.io/component=worker';
export const REDIS = 'app.kubernetes.io/name=redis';
const REDIS_PODS = 3;
const FEWEST_WORKERS = 3;
/** A node that was away for a while copies everything before it is ready; a container that died twice waits 20 s. */
const WHOLE_MS = 240_000;

/** Those that stop are left out. */
export async function pods(selector: string, namespace = NAMESPACE): Promise<Pod[]> {
  const { items } = (await get('pods', '--namespace', namespace, '--selector', selector)) as { items: Doc[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(podOf);
}

function podOf({ metadata, spec, status }: Doc): Pod {
  const statuses = (status.containerStatuses ?? []) as Doc[];
  return {
    name: metadata.name as string,
    uid: metadata.uid as string,
    node: (spec.nodeName ?? '') as string,
    isReady: ((status.conditions ?? []) as Doc[]).some((each) => each.type === 'Ready' && each.status === 'True'),
    restarts: statuses.reduce((sum, each) => sum + Number(each.restartCount), 0),
    containers: Object.fromEntries(
      statuses.map((each) => [each.name as string, String(each.containerID ?? '').replace(/^.*:\/\//, '')]),
    ),
  };
}

/** What a Redis in a pod says. */
export const redisCli = (pod: string, ...command: string[]): Promise<string> =>
  exec({ pod, container: 'redis' }, ['redis-cli', ...command], { withinMs: 10_000 });

/** What a Sentinel in a pod says; it has no password. */
export const sentinelCli = (pod: string, ...command: string[]): Promise<string> =>
  exec(
    { pod, container: 'sentinel' },
    ['sh', '-c', 'unset REDISCLI_AUTH; exec redis-cli -p 26379 "$@"', '-', ...command],
    { withinMs: 10_000 },
  );

/** Of a reply that is a name and a value, each on a line of its own. */
export function field(reply: string, name: string): string | undefined {
  const lines = reply.split('\n').map((line) => line.trim());
  const at = lines.indexOf(name);
  return at < 0 ? undefined : lines[at + 1];
}

/** Why it is not whole; the primary's pod when it is. */
async function state(): Promise<{ lacks: string } | { primary: Pod }> {
  const [redis, workers] = await Promise.all([pods(REDIS), pods(WORKERS)]);
  const ready = (all: Pod[]): number => all.filter(({ isReady }) => isReady).length;
  if (redis.length !== REDIS_PODS || ready(redis) < REDIS_PODS)
    return { lacks: `${ready(redis)} of ${REDIS_PODS} pods of Redis are ready` };
  if (workers.length < FEWEST_WORKERS || ready(workers) < workers.length)
    return { lacks: `${ready(workers)} of ${Math.max(workers.length, FEWEST_WORKERS)} workers are ready` };
  const roles = await Promise.all(redis.map(({ name }) => redisCli(name, 'ROLE')));
  const primaries = redis.filter((_, i) => roles[i]!.startsWith('master'));
  if (primaries.length !== 1)
    return { lacks: `${primaries.length} primaries: ${primaries.map(({ name }) => name).join(', ')}` };
  const views = await Promise.all(redis.map(({ name }) => sentinelCli(name, 'SENTINEL', 'MASTER', 'mymaster')));
  const told = views.map((view) =>
    ['ip', 'flags', 'num-slaves', 'num-other-sentinels'].map((name) => field(view, name)).join(' '),
  );
  const lacks = `the Sentinels do not agree that all is well: ${told.join(' | ')}`;
  if (new Set(told).size > 1 || !told[0]!.endsWith(' master 2 2')) return { lacks };
  const replicas = await Promise.all(redis.map(({ name }) => sentinelCli(name, 'SENTINEL', 'REPLICAS', 'mymaster')));
  if (replicas.some((reply) => /s_down|o_down|disconnected/.test(reply)))
    return { lacks: 'a Sentinel counts a replica as down' };
  return { primary: primaries[0]! };
}

/**
 * Resolves with the pod of the primary when every pod is ready and all Sentinels name one primary with two replicas.
 * @throws Error that says what lacks
 */
export async function whole(withinMs = WHOLE_MS): Promise<Pod> {
  let lacks = '';
  const found = await until(
    'all is whole',
    async () => {
      const now = await state().catch((error: unknown) => ({ lacks: (error as Error).message }));
      if ('primary' in now) return now.primary;
      lacks = now.lacks;
      await new Promise((resolve) => setTimeout(resolve, 1_000)); // each look is a dozen processes
      return undefined;
    },
    withinMs,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${lacks}`, { cause: error });
  });
  return found;
}
