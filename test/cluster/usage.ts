// CPU and memory of workers and Redis at some rates of SENDs: the basis for resource requests and limits.
import { setTimeout as pause } from 'node:timers/promises';
import type { Installed } from './install.js';
import { exec } from './kubectl.js';
import { drain, startLoad } from './load.js';
import { REDIS, WORKERS, pods, whole } from './pods.js';
import type { Pod } from './pods.js';
import type { Check } from './step.js';

const RATES = [1_000, 3_000];
const CONNECTIONS = 64;
const WARM_UP_MS = 5_000;
const MEASURED_MS = 20_000;
const ADDRESS = 4_294_966_000;

interface Used {
  cpuSeconds: number;
  bytes: number;
}

/** cgroup v2 and v1. Memory is what the kubelet counts: without what the kernel can take back at once. */
const ASK = `cd /sys/fs/cgroup
cat cpu.stat 2>/dev/null | grep usage_usec || echo usage_nsec $(cat cpuacct/cpuacct.usage cpu,cpuacct/cpuacct.usage 2>/dev/null | head -n 1)
echo used $(cat memory.current memory/memory.usage_in_bytes 2>/dev/null | head -n 1)
cat memory.stat memory/memory.stat 2>/dev/null | grep -E '^(total_)?inactive_file '`;

async function usedBy(pod: Pod, container: string): Promise<Used> {
  const told = await exec({ pod: pod.name, container }, ['sh', '-c', ASK]);
  const value = (name: string): number => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(told)?.[1]);
  const inactive = value('total_inactive_file') || value('inactive_file') || 0;
  return { cpuSeconds: value('usage_usec') / 1e6 || value('usage_nsec') / 1e9, bytes: value('used') - inactive };
}

const CONTAINERS = { worker: 'aizumi', Redis: 'redis', Sentinel: 'sentinel' } as const;

/** Containers of each kind, the primary's Redis by itself. */
async function containers(): Promise<{ kind: string; pod: Pod; container: string }[]> {
  const primary = await whole();
  const [workers, redis] = await Promise.all([pods(WORKERS), pods(REDIS)]);
  return [
    ...workers.map((pod) => ({ kind: 'worker', pod, container: CONTAINERS.worker })),
    ...redis.map((pod) => ({
      kind: pod.name === primary.name ? 'primary' : 'replica',
      pod,
      container: CONTAINERS.Redis,
    })),
    ...redis.map((pod) => ({ kind: 'Sentinel', pod, container: CONTAINERS.Sentinel })),
  ];
}

export async function usage(installed: Installed): Promise<Check[]> {
  const found: Check[] = [];
  for (const [i, perSecond] of RATES.entries()) {
    const all = await containers();
    const load = await startLoad(installed, { address: ADDRESS + i, kept: CONNECTIONS, perSecond });
    await pause(WARM_UP_MS);
    const [startMs, before] = [
      performance.now(),
      await Promise.all(all.map(({ pod, container }) => usedBy(pod, container))),
    ];
    await pause(MEASURED_MS);
    const after = await Promise.all(all.map(({ pod, container }) => usedBy(pod, container)));
    const seconds = (performance.now() - startMs) / 1000;
    const result = await load.stop();
    const sent = result.acknowledged.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    await drain(installed, ADDRESS + i);
    const kinds = [...new Set(all.map(({ kind }) => kind))];
    const texts = kinds.map((kind) => {
      const each = all.flatMap((one, at) => (one.kind === kind ? [{ before: before[at]!, after: after[at]! }] : []));
      const cores = each.map((used) => (used.after.cpuSeconds - used.before.cpuSeconds) / seconds);
      const most = Math.max(...each.map((used) => used.after.bytes)) / 2 ** 20;
      return `${each.length} × ${kind}: ${sum(cores).toFixed(2)} cores together, ${most.toFixed()} MiB at most`;
    });
    found.push({
      name: `${perSecond} SENDs a second asked for`,
      seen: `${(sent / result.seconds).toFixed()} a second; p99 ${result.p99Ms.toFixed()} ms; ${texts.join('; ')}`,
    });
  }
  return found;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);
