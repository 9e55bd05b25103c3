// Checks which pods can reach the workers and Redis, if the cluster enforces NetworkPolicies, which a pod of ours tests.
import { until } from '../../harness/until.js';
import { CLIENTS, STRANGERS, loadPod } from './install.js';
import type { Installed } from './install.js';
import { NAMESPACE, apply, exec, get, kubectl } from './kubectl.js';
import type { Check } from './step.js';

const DENY_ALL = 'test-nobody';
const ENFORCED_MS = 20_000;

/** Whether a policy has an effect: one of ours lets the strangers out to nobody. */
export async function areEnforced({ url }: Installed): Promise<boolean> {
  // those of production forbid it already
  if (!(await reaches(url, STRANGERS))) return true;
  await apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: DENY_ALL, namespace: STRANGERS },
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
  });
  const isDenied = async (): Promise<boolean> => !(await reaches(url, STRANGERS));
  const enforced = await until('it is enforced', isDenied, ENFORCED_MS).catch(() => false);
  await kubectl('--namespace', STRANGERS, 'delete', 'networkpolicy', DENY_ALL);
  return enforced;
}

/** Whether a connection is possible. */
async function reaches(url: string, namespace: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const pod = await loadPod(undefined, namespace);
  return (await exec({ namespace, pod }, ['node', '/programs/connect.mjs', hostname, port])) === 'connected';
}

export async function policies({ url }: Installed): Promise<Check[]> {
  const redis = (await get('service', 'redis-0', '--namespace', NAMESPACE)).spec.clusterIP as string;
  const [friend, stranger, byRedis] = [
    await reaches(url, CLIENTS),
    await reaches(url, STRANGERS),
    await reaches(`http://${redis}:6379`, CLIENTS),
  ];
  const said = (does: boolean): string => (does ? 'reaches it' : 'does not reach it');
  return [
    { name: 'a pod of a namespace with the label, to a worker', seen: said(friend), broken: !friend },
    { name: 'a pod of a namespace without it, to a worker', seen: said(stranger), broken: stranger },
    { name: 'a pod of a namespace with the label, to Redis', seen: said(byRedis), broken: byRedis },
  ];
}
