// Deployments that survive the loss of a node, as real processes: primary, replicas and Sentinels, or a Redis Cluster.
import { ask, infoField } from './ask.js';
import { freePort, startRedisServer } from './redis-server.js';
import type { TestServer } from './redis-server.js';
import { createStack, hasReplicas, startNode } from './stack.js';
import type { Stack, StackNode } from './stack.js';
import { until } from './until.js';

export type { Role, Stack, StackNode } from './stack.js';

export interface SentinelStackOptions {
  replicas?: number;
  sentinels?: number;
  downAfterMs?: number;
  /** Of the Redis nodes, not of the Sentinels: see TestServerOptions. */
  clock?: string | undefined;
}

export interface ClusterStackOptions {
  primaries?: number;
  replicasEach?: number;
  /** Whether a replica may migrate to a primary that has lost all of its own; default, as in Redis: yes. */
  migration?: boolean;
  clock?: string | undefined;
}

const NAME = 'mymaster';
const SLOTS = 16_384;
const NODE_TIMEOUT_MS = 1_000;
/** A failed fail-over is retried after twice this time; Redis's default is three minutes. */
const FAILOVER_TIMEOUT_MS = 2_000;

/** Shorter than down-after, so that an election compares offsets taken after the loss. */
const INFO_PERIOD_MS = 500;

/** One primary with its replicas, watched by Sentinels: nodes[0] is the primary at first. */
export async function startSentinelStack({
  replicas = 2,
  sentinels: count = 3,
  downAfterMs = 1_000,
  clock,
}: SentinelStackOptions = {}): Promise<Stack> {
  const nodes: StackNode[] = [await startNode('', clock)];
  const [first] = nodes as [StackNode];
  for (let i = 0; i < replicas; i++) nodes.push(await startNode(`replicaof 127.0.0.1 ${first.port}\n`, clock));
  await until('the replicas are in sync', () => hasReplicas(first, replicas), 10_000);

  const quorum = Math.floor(count / 2) + 1;
  const conf = [
    `sentinel monitor ${NAME} 127.0.0.1 ${first.port} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} ${FAILOVER_TIMEOUT_MS}`,
    `sentinel parallel-syncs ${NAME} ${replicas}\n`,
  ].join('\n');
  const sentinels = await Promise.all(Array.from({ length: count }, () => startSentinel(conf)));

  const agreedPrimary = async (): Promise<StackNode | undefined> => {
    const named = await Promise.all(
      sentinels.map(({ port }) =>
        ask(port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME).catch(() => undefined),
      ) as Promise<string[] | undefined>[],
    );
    const votes = nodes.map((node) => named.filter((address) => Number(address?.[1]) === node.port));
    return nodes.find((_, i) => votes[i]!.length >= quorum);
  };
  // a busy Sentinel may answer late, so this polls
  const primary = (): Promise<StackNode> => until('the Sentinels agree on a primary', agreedPrimary);
  const stack = createStack({
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    nodes,
    sentinels,
    primary,
    inShard: () => true,
    async isWhole() {
      const seen = await Promise.all(sentinels.map(({ port }) => ask(port, 'SENTINEL', 'MASTER', NAME)));
      const figure = (reply: unknown, name: string): unknown =>
        (reply as string[])[(reply as string[]).indexOf(name) + 1];
      const agreed = seen.every(
        (reply) =>
          figure(reply, 'num-other-sentinels') === String(count - 1) &&
          figure(reply, 'num-slaves') === String(replicas) &&
          figure(reply, 'flags') === 'master',
      );
      return agreed && hasReplicas(await primary(), replicas);
    },
  });
  await stack.whole();
  return stack;
}

/** A Sentinel that polls INFO as often as deployed ones (deploy/start-sentinel.sh), which no configuration file can set. */
async function startSentinel(conf: string): Promise<TestServer> {
  const server = await startRedisServer({ conf, args: ['--sentinel'] });
  const setPeriod = (): Promise<unknown> => ask(server.port, 'SENTINEL', 'DEBUG', 'info-period', INFO_PERIOD_MS);
  await setPeriod();
  const restart: TestServer['restart'] = async (options) => {
    await server.restart(options);
    await setPeriod();
  };
  return Object.defineProperties({} as TestServer, {
    ...Object.getOwnPropertyDescriptors(server),
    restart: { value: restart },
  });
}

/** A Redis Cluster: the first `primaries` nodes are the primaries at first, nodes[primaries + i] replicates nodes[i]. */
export async function startClusterStack({
  primaries = 3,
  replicasEach = 1,
  migration = true,
  clock,
}: ClusterStackOptions = {}): Promise<Stack> {
  const nodes: StackNode[] = [];
  const busPorts: number[] = [];
  for (let i = 0; i < primaries * (1 + replicasEach); i++) {
    busPorts.push(await freePort());
    nodes.push(
      await startNode(
        `cluster-enabled yes\ncluster-node-timeout ${NODE_TIMEOUT_MS}\ncluster-port ${busPorts[i]}\ncluster-config-file nodes.conf\ncluster-allow-replica-migration ${migration ? 'yes' : 'no'}\n`,
        clock,
      ),
    );
  }
  await join(nodes, busPorts, primaries);

  const stack = createStack({
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    sentinels: [],
    primary: () => ownerOfSlot0(nodes),
    inShard: async (node, { port }) => (await infoField(node.port, 'replication', 'master_port')) === String(port),
    async isWhole() {
      const states = await Promise.all(nodes.map(({ port }) => infoOfCluster(port)));
      if (!states.every((text) => text.includes('cluster_state:ok') && text.includes(`cluster_size:${primaries}`)))
        return false;
      const roles = await Promise.all(nodes.map((node) => node.role()));
      const leaders = nodes.filter((_, i) => roles[i] === 'primary');
      if (leaders.length !== primaries) return false;
      return (await Promise.all(leaders.map((node) => hasReplicas(node, replicasEach)))).every(Boolean);
    },
  });
  await stack.whole();
  return stack;
}

/** Makes one Cluster of the nodes: slots to the primaries, then all meet, then the others replicate. */
async function join(nodes: StackNode[], busPorts: number[], primaries: number): Promise<void> {
  const ids = await Promise.all(nodes.map(({ port }) => ask(port, 'CLUSTER', 'MYID')));
  for (let i = 0; i < primaries; i++) {
    const [from, to] = [Math.floor((SLOTS * i) / primaries), Math.floor((SLOTS * (i + 1)) / primaries) - 1];
    await ask(nodes[i]!.port, 'CLUSTER', 'ADDSLOTSRANGE', from, to);
  }
  // different epochs from the start spare the primaries a collision
  for (const [i, { port }] of nodes.entries()) await ask(port, 'CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
  for (const [i, { port }] of nodes.entries()) {
    if (i > 0) await ask(nodes[0]!.port, 'CLUSTER', 'MEET', '127.0.0.1', port, busPorts[i]!);
  }
  for (const [i, node] of nodes.entries()) {
    const leader = ids[i % primaries] as string;
    const replicate = async (): Promise<boolean> => {
      await ask(node.port, 'CLUSTER', 'REPLICATE', leader);
      return true;
    };
    // it must know its primary first
    if (i >= primaries) await until('a replica knows its primary', () => replicate().catch(() => false), 10_000);
  }
}

async function ownerOfSlot0(nodes: StackNode[]): Promise<StackNode> {
  for (const { port } of nodes) {
    const slots = (await ask(port, 'CLUSTER', 'SLOTS').catch(() => [])) as [number, number, [string, number]][];
    const owner = nodes.find((node) => node.port === slots.find(([from]) => from === 0)?.[2][1]);
    if (owner) return owner;
  }
  throw new Error('no node knows who has slot 0');
}

const infoOfCluster = async (port: number): Promise<string> => String(await ask(port, 'CLUSTER', 'INFO'));
