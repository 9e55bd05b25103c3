// The HorizontalPodAutoscaler, seen to add workers under load and to take them away afterwards.
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../harness/until.js';
import type { Installed } from './install.js';
import { NAMESPACE, get, kubectl } from './kubectl.js';
import { startLoad } from './load.js';
import type { Check } from './step.js';

const UP_MS = 240_000;
/** Its window of 300 s, a minute for each pod, and the time to notice. */
const DOWN_MS = 900_000;
const ADDRESS = 4_294_965_000;
const CONNECTIONS = 64;
/** Little to send and much to do: each request is refused by itself, and Redis is not asked. */
const BATCH = Array.from({ length: 100 }, () => ({ msg_type: 'MSG_PUSH_REQ' }));

/** Why it cannot work here; undefined when it can. */
export const noMetrics = (): Promise<string | undefined> =>
  kubectl('get', '--raw', '/apis/metrics.k8s.io/v1beta1/nodes').then(
    () => undefined,
    () => 'the cluster has no metrics-server',
  );

async function replicas(): Promise<{ wanted: number; least: number; utilization: number | undefined }> {
  const { spec, status } = await get('hpa', 'aizumi', '--namespace', NAMESPACE);
  return {
    wanted: Number(status?.desiredReplicas ?? 0),
    least: Number(spec.minReplicas),
    utilization: status?.currentMetrics?.[0]?.resource?.current?.averageUtilization as number | undefined,
  };
}

export async function autoscaling(installed: Installed): Promise<Check[]> {
  const { least } = await replicas();
  const load = await startLoad(installed, { address: ADDRESS, kept: CONNECTIONS, burden: BATCH });
  let most = 0;
  const isUp = async (): Promise<boolean> => {
    await pause(2_000);
    const { wanted, utilization = 0 } = await replicas();
    most = Math.max(most, utilization);
    return wanted > least;
  };
  const startMs = performance.now();
  const seconds = (): string => `${((performance.now() - startMs) / 1000).toFixed()} s`;
  const up = await until('more workers are wanted', isUp, UP_MS).catch(() => false);
  const upAfter = seconds();
  const { wanted } = await replicas();
  await load.stop();
  if (!up)
    return [{ name: 'HPA under load', seen: `not more than ${least} workers; CPU at most ${most} %`, broken: true }];
  const isDown = async (): Promise<boolean> => {
    await pause(5_000);
    return (await replicas()).wanted === least;
  };
  const down = await until('no more workers are wanted than at first', isDown, DOWN_MS).catch(() => false);
  const downText = down ? `${least} again after ${seconds()}` : `not ${least} again after ${seconds()}`;
  const seen = `${wanted} workers instead of ${least} after ${upAfter}, CPU at ${most} %; ${downText}`;
  return [{ name: 'HPA under load, and without it', seen, broken: !down }];
}
