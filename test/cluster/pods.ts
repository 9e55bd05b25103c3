// Pods, and waiting until the whole installation is ready.
import { until } from '../../harness/until.js';
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
const BREAK = '====';
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

/** What a pod's Redis and its Sentinel say, in one call: a call of kubectl is dear. The Sentinel has no password. */
async function told(pod: string): Promise<{ role: string; master: string; replicas: string }> {
  const sentinel = (command: string): string =>
    `(unset REDISCLI_AUTH; redis-cli -p 26379 SENTINEL ${command} mymaster)`;
  const script = ['redis-cli ROLE', sentinel('MASTER'), sentinel('REPLICAS')].join(`; echo ${BREAK}; `);
  const text = await exec({ pod, container: 'redis' }, ['sh', '-c', script], { withinMs: 20_000 });
  const [role = '', master = '', replicas = ''] = text.split(`${BREAK}\n`);
  return { role, master, replicas };
}

/** Of a reply that is a name and a value, each on a line of its own. */
function field(reply: string, name: string): string | undefined {
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
  const views = await Promise.all(redis.map(({ name }) => told(name)));
  const primaries = redis.filter((_, i) => views[i]!.role.startsWith('master'));
  if (primaries.length !== 1)
    return { lacks: `${primaries.length} primaries: ${primaries.map(({ name }) => name).join(', ')}` };
  const agreed = views.map(({ master }) =>
    ['ip', 'flags', 'num-slaves', 'num-other-sentinels'].map((name) => field(master, name)).join(' '),
  );
  if (new Set(agreed).size > 1 || !agreed[0]!.endsWith(' master 2 2'))
    return { lacks: `the Sentinels do not agree that all is well: ${agreed.join(' | ')}` };
  if (views.some(({ replicas }) => /s_down|o_down|disconnected/.test(replicas)))
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
