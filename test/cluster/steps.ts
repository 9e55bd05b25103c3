// The table of steps, in the order in which they are run.
import { applies } from './applies.js';
import { autoscaling, noMetrics } from './autoscaler.js';
import { backup, deleteAndApply, noVolume } from './backup.js';
import { killWithoutDns, noDnsToTake } from './dns.js';
import { measure } from './event.js';
import type { Event } from './event.js';
import { rotation } from './keys.js';
import { nothingToKillWith } from './kill.js';
import { get } from './kubectl.js';
import type { Doc } from './kubectl.js';
import { cutPrimary, killAll, killPrimary } from './losses.js';
import { areEnforced, policies } from './policies.js';
import { whole } from './pods.js';
import { logs, probes } from './probes.js';
import { allServices, countedNodes, primarysService, replicasService } from './services.js';
import type { Context, Step } from './step.js';
import { deletePrimary, drainPrimary, handOver, restartRedis, scaleRedis } from './stops.js';
import { usage } from './usage.js';
import { deleteWorkers, rollWorkers } from './workers.js';

const OWN_NAMESPACES = /^(kube-.*|default|local-path-storage|aizumi|aizumi-test-.*)$/;

/** Why everybody's nodes and DNS are left alone; undefined when there is nobody. */
async function others({ isAlone }: Context): Promise<string | undefined> {
  if (isAlone) return undefined;
  const { items } = (await get('namespaces')) as { items: Doc[] };
  const found = items.map(({ metadata }) => metadata.name as string).filter((name) => !OWN_NAMESPACES.test(name));
  return found.length === 0 ? undefined : `others use this cluster (${found.join(', ')}); --alone runs it nevertheless`;
}

const noTool = ({ tool }: Context): Promise<string | undefined> =>
  Promise.resolve(tool === undefined ? '--cut and --mend say how a node is cut off here' : undefined);
const noKiller = async (): Promise<string | undefined> => nothingToKillWith((await whole()).node);

/** The first reason. */
const unless =
  (...reasons: ((context: Context) => Promise<string | undefined>)[]): NonNullable<Step['unless']> =>
  async (context) => {
    for (const reason of reasons) {
      const why = await reason(context);
      if (why !== undefined) return why;
    }
    return undefined;
  };

const rows =
  (...events: ((context: Context) => Event)[]): Step['run'] =>
  async (context) => {
    const found = [];
    for (const event of events) found.push(await measure(context, event(context)));
    return found;
  };

export const STEPS: Readonly<Record<string, Step>> = {
  applies: { run: ({ installed, overlay }) => applies(installed, overlay) },
  policies: {
    unless: async ({ installed }) =>
      (await areEnforced(installed)) ? undefined : "the cluster's network does not enforce NetworkPolicies",
    run: ({ installed }) => policies(installed),
  },
  keys: { run: ({ installed }) => rotation(installed) },
  probes: { run: probes },
  usage: { run: ({ installed }) => usage(installed) },
  'roll-workers': { run: rows(rollWorkers) },
  'delete-workers': { run: rows(deleteWorkers) },
  drain: { unless: others, run: rows(drainPrimary) },
  'delete-primary': { run: rows(deletePrimary) },
  'restart-redis': { run: rows(restartRedis) },
  'scale-redis': { run: rows(scaleRedis) },
  'hand-over': { run: rows(handOver) },
  'kill-primary': { unless: noKiller, run: rows(killPrimary) },
  'kill-all': { run: rows(killAll) },
  cut: { unless: unless(noTool, others), run: rows(({ tool }) => cutPrimary(tool!, false)) },
  'cut-dns': { unless: unless(noTool, others, noDnsToTake), run: rows(({ tool }) => cutPrimary(tool!, true)) },
  'no-dns': {
    unless: unless(others, noDnsToTake, noKiller),
    run: rows(
      () => killWithoutDns(true),
      () => killWithoutDns(false),
    ),
  },
  services: {
    unless: noKiller,
    run: async (context) => [
      ...(await rows(
        ({ overlay }) => replicasService(overlay),
        ({ overlay }) => primarysService(overlay),
        ({ overlay }) => allServices(overlay),
      )(context)),
      ...(await countedNodes(context.installed)),
      ...(await rows(() => ({ ...killPrimary(), name: 'after that, the primary killed' }))(context)),
    ],
  },
  backup: { unless: noVolume, run: ({ installed, overlay }) => backup(installed, overlay) },
  'delete-and-apply': { run: ({ installed, overlay }) => deleteAndApply(installed, overlay) },
  logs: { run: logs },
  autoscaler: { unless: noMetrics, run: ({ installed }) => autoscaling(installed) },
};
