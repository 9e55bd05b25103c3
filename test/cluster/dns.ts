// Stops and restores the cluster's DNS, in two ways: queries are not answered, as after the loss of a node with a server, or
// connections are refused, as when there is no server.
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../harness/until.js';
import type { Event } from './event.js';
import { kill } from './kill.js';
import { apply, get, kubectl } from './kubectl.js';
import type { Doc } from './kubectl.js';
import { pods } from './pods.js';
import type { Pod } from './pods.js';

const SYSTEM = 'kube-system';
const SERVER = 'k8s-app=kube-dns';
const SERVICE = 'kube-dns';
/** Nobody has this address (RFC 5737), and nobody says so. */
const NOWHERE = '192.0.2.1';
const SLICE = 'aizumi-test-no-dns';
const GONE_MS = 60_000;
const BACK_MS = 120_000;
/** How long DNS stays away after the primary was killed: longer than a fail-over may take, and than Sentinel's TILT. */
const AWAY_MS = 40_000;

export const dnsPods = (): Promise<Pod[]> => pods(SERVER, SYSTEM);

/** Why the steps without DNS cannot be run; undefined when they can. */
export async function noDnsToTake(): Promise<string | undefined> {
  if (!(await deployment())) return `no Deployment in ${SYSTEM} has the pods ${SERVER}`;
  return (await service()) ? undefined : `there is no Service ${SERVICE} in ${SYSTEM}`;
}

async function deployment(): Promise<Doc | undefined> {
  const { items } = (await get('deployments', '--namespace', SYSTEM)) as { items: Doc[] };
  return items.find(({ spec }) => spec.selector.matchLabels?.['k8s-app'] === 'kube-dns');
}

async function service(): Promise<Doc | undefined> {
  const { items } = (await get('services', '--namespace', SYSTEM)) as { items: Doc[] };
  return items.find(({ metadata }) => metadata.name === SERVICE);
}

/** @param silently packets to it are lost; otherwise they are refused */
export function killWithoutDns(silently: boolean): Event {
  let name = '';
  let replicas = 0;
  return {
    name: silently
      ? 'no DNS (it does not answer), and the primary is killed'
      : 'no DNS (refused), and the primary is killed',
    bound: 'failover',
    strike: async (primary) => {
      const found = (await deployment())!;
      [name, replicas] = [found.metadata.name as string, Number(found.spec.replicas)];
      if (silently) await apply(await blackHole());
      await kubectl('--namespace', SYSTEM, 'scale', `deployment/${name}`, '--replicas=0');
      await until('DNS is gone', async () => (await dnsPods()).length === 0, GONE_MS);
      await pause(5_000); // until every node knows, and somebody asked for a name
      await kill(primary, 'redis');
      await pause(AWAY_MS);
    },
    mend: async () => {
      await kubectl('--namespace', SYSTEM, 'delete', 'endpointslice', SLICE, '--ignore-not-found');
      if (replicas === 0) return;
      await kubectl('--namespace', SYSTEM, 'scale', `deployment/${name}`, `--replicas=${replicas}`);
      const isBack = async (): Promise<boolean> => (await dnsPods()).filter((pod) => pod.isReady).length === replicas;
      await until('DNS is back', isBack, BACK_MS);
    },
  };
}

/** Endpoints of the Service beside those that Kubernetes keeps: with them alone, packets go nowhere. */
async function blackHole(): Promise<Doc> {
  const { ports } = (await service())!.spec as { ports: Doc[] };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: SLICE, namespace: SYSTEM, labels: { 'kubernetes.io/service-name': SERVICE } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [NOWHERE], conditions: { ready: true } }],
    ports: ports.map((port) => ({ name: port.name as string, port: 53, protocol: port.protocol as string })),
  };
}
