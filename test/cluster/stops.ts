// Planned stops of the primary, in each form in which a cluster asks for one.
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../harness/until.js';
import type { Event } from './event.js';
import { NAMESPACE, call, exec, inAizumi, kubectl } from './kubectl.js';
import { handOverTo } from './primary.js';
import { REDIS, pods } from './pods.js';
import type { Pod } from './pods.js';

const READY_MS = 180_000;
const DRAIN_MS = 150_000;
const ROLLED = '--timeout=240s';
/** The StatefulSet's last pod, which is the first to go when it is scaled. */
const LAST = 'redis-2';

const isBack = (pod: Pod): Promise<true> =>
  until(
    `a new ${pod.name} is ready`,
    async () => (await pods(REDIS)).some(({ name, uid, isReady }) => name === pod.name && uid !== pod.uid && isReady),
    READY_MS,
  );

export const deletePrimary = (): Event => ({
  name: "the primary's pod deleted (told to stop)",
  bound: 'planned',
  strike: async (primary) => {
    await inAizumi('delete', 'pod', primary.name, '--wait=false');
    await isBack(primary);
  },
});

export const restartRedis = (): Event => ({
  name: '`rollout restart statefulset/redis`',
  bound: 'planned',
  strike: async () => {
    await inAizumi('rollout', 'restart', 'statefulset/redis');
    await rollOut('rollout', 'status', 'statefulset/redis', ROLLED);
  },
});

/** A rollout is longer than an ordinary call. */
const rollOut = async (...args: string[]): Promise<unknown> =>
  call(['--namespace', NAMESPACE, ...args], { withinMs: 250_000 });

export const scaleRedis = (): Event => ({
  name: '`scale statefulset/redis` takes the primary away',
  bound: 'planned',
  prepare: () => handOverTo(({ name }) => name === LAST),
  strike: async () => {
    await inAizumi('scale', 'statefulset/redis', '--replicas=2');
    await until('it has stopped', async () => (await pods(REDIS)).length === 2, READY_MS);
    await pause(10_000); // while it is away
  },
  mend: () => inAizumi('scale', 'statefulset/redis', '--replicas=3'),
});

export const handOver = (): Event => ({
  name: '`hand-over.sh` on the primary',
  bound: 'planned',
  strike: ({ name }) => exec({ pod: name, container: 'redis' }, ['sh', '/opt/aizumi/hand-over.sh']),
});

/** With the disruption budget: while a pod has no place, no other may be evicted. */
export function drainPrimary(): Event {
  let drained = '';
  return {
    name: "drain of the primary's node",
    bound: 'planned',
    strike: async ({ name, uid, node }) => {
      drained = node;
      await call(
        ['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--force', `--timeout=${DRAIN_MS}ms`],
        {
          withinMs: DRAIN_MS + 10_000,
        },
      );
      const successor = (): Promise<Pod | undefined> =>
        pods(REDIS).then((all) => all.find((pod) => pod.name === name && pod.uid !== uid));
      const next = await until(`a new ${name} is there`, successor, READY_MS);
      const other = (await pods(REDIS)).find((pod) => pod.name !== name)!;
      // where its volume can follow it, it may be ready elsewhere already
      if (!next.isReady && !(await isRefused(other)))
        throw new Error(`${other.name} could be evicted while ${name} was not ready`);
    },
    mend: () => kubectl('uncordon', drained),
  };
}

/** Whether the disruption budget refuses to evict a pod now. Nothing is evicted. */
async function isRefused({ name }: Pod): Promise<boolean> {
  const eviction = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name, namespace: NAMESPACE },
    deleteOptions: { dryRun: ['All'] },
  };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`;
  return call(['create', '--raw', path, '--filename', '-'], { input: JSON.stringify(eviction) }).then(
    () => false,
    (error: unknown) => {
      if ((error as Error).message.includes('disruption budget')) return true;
      throw error;
    },
  );
}
