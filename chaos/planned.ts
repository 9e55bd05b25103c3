// Fail-overs of a live primary: one that hangs until it is replaced, and each way in which an operator can request one.
import { setTimeout as pause } from 'node:timers/promises';
import { ask, infoField } from '../harness/ask.js';
import type { Stack, StackNode } from '../harness/stacks.js';
import { until } from '../harness/until.js';
import { failedOver, replicasOf, watchPromotion } from './elections.js';
import type { Fault, Victims } from './fault.js';

const NAME = 'mymaster';
/** Sentinels refuse a fail-over (INPROG, NOGOODSLAVE) shortly after another one. */
const ACCEPTED_MS = 10_000;
/** Sentinels that have to notice a failure themselves begin after down-after and two INFO periods. */
const NOTICED_MS = 20_000;

/**
 * Requests a fail-over until the servers accept it, and waits for it. Silent senders are woken at the promotion.
 * @param command sends the request to a replica, a Sentinel or the primary
 */
async function failOver(
  { stack, wake }: Victims,
  command: (replicas: StackNode[], primary: StackNode) => Promise<unknown>,
  withinMs?: number,
): Promise<void> {
  const primary = await stack.primary();
  const replicas = await until('the primary has a replica', async () => {
    const found = await replicasOf(stack, primary);
    return found.length > 0 && found;
  });
  const promoted = await watchPromotion(replicas);
  let refusal: unknown;
  const isAccepted = (): Promise<boolean> =>
    command(replicas, primary).then(
      () => true,
      async (error: unknown) => {
        refusal = error;
        await pause(200);
        return false;
      },
    );
  await until('the fail-over is accepted', isAccepted, ACCEPTED_MS).catch((error: unknown) => {
    throw new Error(String(error), { cause: refusal });
  });
  await promoted();
  wake();
  await failedOver(stack, primary, withinMs);
}

const bySentinel =
  (...more: string[]): Fault['strike'] =>
  (victims) =>
    failOver(victims, () =>
      ask(victims.random.pick(victims.stack.sentinels).port, 'SENTINEL', 'FAILOVER', NAME, ...more),
    );

const byReplica =
  (...more: string[]): Fault['strike'] =>
  (victims) =>
    failOver(victims, (replicas) => ask(victims.random.pick(replicas).port, 'CLUSTER', 'FAILOVER', ...more));

export const PLANNED = {
  'primary SIGSTOP, back at the promotion': {
    kind: 'failover',
    async strike({ stack, wake }) {
      const primary = await stack.primary();
      const promoted = await watchPromotion(await replicasOf(stack, primary));
      primary.pause();
      await promoted().finally(() => primary.resume());
      wake();
      await failedOver(stack, primary);
    },
  },
  'SENTINEL FAILOVER': { kind: 'failover', strike: bySentinel() },
  'SENTINEL FAILOVER COORDINATED': {
    kind: 'other', // no write is lost, including leases and FREEs
    async unknown(stack) {
      const help = (await ask(stack.sentinels[0]!.port, 'SENTINEL', 'HELP')) as string[];
      return help.join(' ').includes('COORDINATED') ? undefined : 'the server does not know it';
    },
    strike: bySentinel('COORDINATED'),
  },
  'FAILOVER TO': {
    kind: 'other',
    strike: (victims) =>
      failOver(
        victims,
        (replicas, primary) => ask(primary.port, 'FAILOVER', 'TO', '127.0.0.1', victims.random.pick(replicas).port),
        NOTICED_MS,
      ),
  },
  'CLUSTER FAILOVER': { kind: 'other', strike: byReplica() },
  'CLUSTER FAILOVER FORCE': { kind: 'failover', strike: byReplica('FORCE') },
  'CLUSTER FAILOVER TAKEOVER': { kind: 'failover', strike: byReplica('TAKEOVER') },
} satisfies Record<string, Fault>;

/** Longer than AIZUMI_REPLICA_MAX_LAG_MS (3 s), after which a hung replica no longer counts as in sync. */
const HUNG_MS = 3_600;
const RESET_EVERY_MS = 100;

const resetSentinels = ({ sentinels }: Stack): Promise<unknown> =>
  Promise.all(sentinels.map(({ port }) => ask(port, 'SENTINEL', 'RESET', NAME)));

/** Makes the replicas hang at a moment when all of them have the same data. */
async function hangInStep(primary: StackNode, replicas: StackNode[]): Promise<void> {
  await ask(primary.port, 'CLIENT', 'PAUSE', 1_000, 'WRITE');
  const isInStep = async (): Promise<boolean> => {
    const offset = await infoField(primary.port, 'replication', 'master_repl_offset');
    const theirs = await Promise.all(replicas.map(({ port }) => infoField(port, 'replication', 'slave_repl_offset')));
    return theirs.every((each) => each === offset);
  };
  await until('the replicas are in sync', isInStep);
  replicas.forEach((replica) => replica.pause());
  await ask(primary.port, 'CLIENT', 'UNPAUSE');
}

export const RESETS = {
  /**
   * Messages acknowledged at `quorum` or `all` while the replicas hang would only be on the primary. Then all nodes die: data
   * from the primary is in the sockets of the replicas, and lost with them. The primary is the last to come back.
   */
  'SENTINEL RESET, replicas hung': {
    kind: 'failover',
    majorityDies: true,
    async strike({ stack, workers }) {
      const primary = await stack.primary();
      const replicas = stack.nodes.filter((node) => node !== primary);
      const restarting = Promise.all(
        workers.map(async (worker) => {
          await worker.kill9();
          await worker.restart();
        }),
      );
      // a Sentinel finds the replicas again within its INFO period: the workers are meant to ask it before that
      const isRestarted = (): Promise<boolean> =>
        Promise.race([restarting.then(() => true), pause(RESET_EVERY_MS, false)]);
      do await resetSentinels(stack);
      while (!(await isRestarted()));
      await hangInStep(primary, replicas);
      await pause(HUNG_MS);
      await Promise.all([primary, ...replicas].map((node) => node.kill9()));
      await Promise.all(replicas.map((replica) => replica.restart()));
      await failedOver(stack, primary);
      await primary.restart();
    },
  },
} satisfies Record<string, Fault>;
