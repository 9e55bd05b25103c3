// The table of faults. After each, everything runs again; its random choices are repeated by the seed.
import { setTimeout as pause } from 'node:timers/promises';
import type { TestServer } from '../harness/redis-server.js';
import { ask } from '../harness/ask.js';
import { replicasHaveAll } from '../harness/slots.js';
import type { Stack, StackNode } from '../harness/stacks.js';
import { until } from '../harness/until.js';
import { FAILOVER_MS, failedOver, replicasOf } from './elections.js';
import type { Fault, Victims } from './fault.js';
import { PLANNED, RESETS } from './planned.js';
import type { Random } from '../harness/random.js';
import { SLOT_MOVES } from './slot-moves.js';

/** Minimum downtime of a node whose absence is the fault. */
const AWAY_MS = [1_000, 2_000] as const;

const away = (random: Random): Promise<void> => pause(random.between(...AWAY_MS));

/** Whether no Sentinel, or no node of a Cluster, regards any node as down. */
async function isCalm({ sentinels, nodes }: Stack): Promise<boolean> {
  if (sentinels.length === 0) {
    const views = await Promise.all(nodes.map(({ port }) => ask(port, 'CLUSTER', 'NODES').catch(() => 'fail')));
    return views.every((view) => !String(view).includes('fail'));
  }
  const views = (await Promise.all(sentinels.map(({ port }) => ask(port, 'SENTINEL', 'MASTERS')))) as string[][][];
  return views.every(([primary = []]) => primary[primary.indexOf('flags') + 1] === 'master');
}

async function kill(victim: TestServer, random: Random, restart?: { empty: boolean }): Promise<void> {
  await victim.kill9();
  await away(random);
  await victim.restart(restart);
}

async function stop(victim: { pause(): void; resume(): void }, random: Random): Promise<void> {
  victim.pause();
  await away(random);
  victim.resume();
}

const HOUR_MS = 3_600_000;
/** Clocks that differ by less than this count as equal. */
const CLOCK_MS = 60_000;

/** Resolves when the nodes report the new time. @param aheadMs relative to the machine's clock */
async function setClock(nodes: StackNode[], aheadMs: number): Promise<void> {
  nodes.forEach((node) => node.setClock(aheadMs));
  const isSet = async (node: StackNode): Promise<boolean> => Math.abs((await aheadOf(node)) - aheadMs) < CLOCK_MS;
  await until('the clock has jumped', async () => (await Promise.all(nodes.map(isSet))).every(Boolean));
}

const aheadOf = async ({ port }: StackNode): Promise<number> =>
  Number(((await ask(port, 'TIME')) as [string])[0]) * 1000 - Date.now();

const isAhead = async (node: StackNode): Promise<boolean> => (await aheadOf(node)) > CLOCK_MS;

const everyNode = ({ stack }: Victims, ...command: [string, ...string[]]): Promise<unknown> =>
  Promise.all(stack.nodes.map(({ port }) => ask(port, ...command).catch(() => undefined)));

/** Repeats the action for two seconds. */
async function again(what: () => Promise<unknown>, random: Random): Promise<void> {
  const endMs = performance.now() + 2_000;
  while (performance.now() < endMs) {
    await what();
    await pause(random.between(50, 300));
  }
}

export const FAULTS = {
  ...PLANNED,
  ...RESETS,
  ...SLOT_MOVES,
  'worker kill -9': {
    kind: 'worker',
    async strike({ workers, random }) {
      const worker = random.pick(workers);
      await worker.kill9();
      await worker.restart();
    },
  },
  'worker SIGSTOP': { kind: 'worker', strike: ({ workers, random }) => stop(random.pick(workers), random) },
  'primary kill -9': {
    kind: 'failover',
    async strike(victims) {
      const primary = await victims.stack.primary();
      await primary.kill9();
      await failedOver(victims.stack, primary);
      // in a Cluster of 3 + 3, a quorum is both nodes of a shard: the primary must come back before service can resume
      await primary.restart();
    },
  },
  'primary SIGSTOP': {
    kind: 'failover',
    async strike(victims) {
      const primary = await victims.stack.primary();
      primary.pause();
      await failedOver(victims.stack, primary).finally(() => primary.resume());
      await pause(500); // it has to learn that it was replaced
    },
  },
  'primary kill -9, back during the fail-over': {
    kind: 'failover',
    async strike(victims) {
      const primary = await victims.stack.primary();
      await primary.kill9();
      await pause(victims.random.between(900, 2_000));
      await primary.restart();
      await pause(1_500);
    },
  },
  'primary kill -9, replicas behind': {
    kind: 'failover',
    majorityDies: true,
    async strike(victims) {
      const primary = await victims.stack.primary();
      const replicas = victims.stack.nodes.filter((node) => node !== primary);
      // data sent to them stays in their sockets and is lost with them: the only way to simulate a slow network on one machine
      replicas.forEach((replica) => replica.pause());
      await pause(800);
      await Promise.all([primary, ...replicas].map((node) => node.kill9()));
      await Promise.all(replicas.map((replica) => replica.restart()));
      await failedOver(victims.stack, primary);
      await primary.restart();
    },
  },
  'primary kill -9 and restart': {
    kind: 'other',
    async strike({ stack }, window) {
      const primary = await stack.primary();
      await primary.kill9();
      await primary.restart();
      await pause(2_000);
      // Sentinels reconnect once a second, so they may count a longer downtime than there was
      await until('no node is regarded as down', () => isCalm(stack), FAILOVER_MS);
      if ((await stack.primary()) !== primary) window.kind = 'failover';
    },
  },
  'primary restarted, killed while a replica has not followed': {
    kind: 'failover',
    majorityDies: true,
    async strike(victims) {
      const replica = await victims.stack.replica();
      const restarted = await victims.stack.primary();
      // gives it the offset of a primary that has run for longer than this test
      await ask(restarted.port, 'EVAL', "redis.call('SET', 'age', string.rep('x', 4e6)) redis.call('DEL', 'age')", 0);
      await pause(500);
      replica.pause();
      await restarted.kill9();
      await restarted.restart(); // its replication offset starts again near 0; that of the hung replica is far ahead
      await pause(3_000);
      const primary = await victims.stack.primary();
      replica.resume();
      await pause(100); // enough to make it electable, too short for a full copy
      await primary.kill9();
      await failedOver(victims.stack, primary);
      await primary.restart();
    },
  },
  'replica kill -9': { kind: 'other', strike: async ({ stack, random }) => kill(await stack.replica(), random) },
  'each replica kill -9 in turn': {
    kind: 'other',
    async strike({ stack, random }) {
      const primary = await stack.primary();
      const replicas = await replicasOf(stack, primary);
      for (const replica of random.next() < 0.5 ? replicas : replicas.toReversed()) {
        await kill(replica, random);
        // whole() requires equal offsets, which may never be observed under load
        await replicasHaveAll(primary.port, replicas.length);
      }
    },
  },
  'replica SIGSTOP': { kind: 'other', strike: async ({ stack, random }) => stop(await stack.replica(), random) },
  'replica restarted empty': {
    kind: 'other',
    strike: async ({ stack, random }) => kill(await stack.replica(), random, { empty: true }),
  },
  'Sentinel kill -9': { kind: 'other', strike: ({ stack, random }) => kill(random.pick(stack.sentinels), random) },
  'SCRIPT FLUSH': {
    kind: 'other',
    strike: (victims) => again(() => everyNode(victims, 'SCRIPT', 'FLUSH'), victims.random),
  },
  'connections cut': {
    kind: 'other',
    strike: (victims) => again(() => everyNode(victims, 'CLIENT', 'KILL', 'TYPE', 'normal'), victims.random),
  },
  'primary clock +1 h': {
    kind: 'ahead',
    strike: async ({ stack }) => setClock([await stack.primary()], HOUR_MS),
  },
  'primary clock -1 h': {
    kind: 'back',
    strike: async ({ stack }) => setClock([await stack.primary()], -HOUR_MS),
  },
  'replica clocks +1 h': {
    kind: 'other', // the clock of a replica has no effect until it is promoted
    strike: async ({ stack }) => setClock(await replicasOf(stack, await stack.primary()), HOUR_MS),
  },
  'replica clocks -1 h': {
    kind: 'other',
    strike: async ({ stack }) => setClock(await replicasOf(stack, await stack.primary()), -HOUR_MS),
  },
  'clocks set right': {
    kind: 'ahead',
    async strike({ stack: { nodes } }, window) {
      if ((await Promise.all(nodes.map(isAhead))).some(Boolean)) window.kind = 'back';
      await setClock(nodes, 0);
    },
  },
} satisfies Record<string, Fault>;
