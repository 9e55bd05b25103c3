// What durability and the Cluster cost the worker: SEND at `quorum` beside `primary`, and redis+cluster beside one Redis.
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../harness/measure.js';
import { startRedis, startWorker } from './servers.js';
import type { HttpServer, RedisServer } from './servers.js';
import { stage, type Sample } from './stages.js';
import { CONNECTIONS, deal, sends, takeIds } from './traffic.js';

/** SEND through two workers in turns, so that noise hits both alike; the better round of each. */
export interface Pair {
  base: Sample;
  other: Sample;
}

export interface ReplicatedResults {
  /** `primary` and `quorum`, primary + 2 replicas, fsync always on all; 64 connections. */
  quorum: Pair;
  /** The same at 1 connection. */
  quorumAlone: Pair;
  /** The same two when one of the replicas is dead. */
  quorumMissing: Pair;
  quorumMissingAlone: Pair;
  /** One Redis and a Cluster of three primaries. */
  cluster: Pair;
}

const READY_WITHIN_MS = 20_000;

export async function measureReplicated(
  program: string,
  conf: string,
  rounds: number,
  count: number,
): Promise<ReplicatedResults> {
  const primary = await startRedis('replicated-primary', conf);
  const { host, port } = primary.client.options;
  const replicas = await Promise.all(
    ['replica-1', 'replica-2'].map((name) => startRedis(name, conf, ['--replicaof', String(host), String(port)])),
  );
  await until(
    'both replicas are in sync',
    async () => (await primary.client.info('replication')).match(/state=online/g)?.length === 2,
  );
  const base = await startWorker(program, primary);
  const other = await startWorker(program, primary, { AIZUMI_DURABILITY: 'quorum' });
  const quorum = await compare(primary, base, other, rounds, count, CONNECTIONS);
  const quorumAlone = await compare(primary, base, other, rounds, Math.round(count / 10), 1);
  await replicas[1]!.stop();
  const quorumMissing = await compare(primary, base, other, rounds, count, CONNECTIONS);
  const quorumMissingAlone = await compare(primary, base, other, rounds, Math.round(count / 10), 1);
  for (const server of [base, other, replicas[0]!, primary]) await server.stop();
  return {
    quorum,
    quorumAlone,
    quorumMissing,
    quorumMissingAlone,
    cluster: await measureCluster(program, conf, rounds, count),
  };
}

async function measureCluster(program: string, conf: string, rounds: number, count: number): Promise<Pair> {
  const single = await startRedis('beside-cluster', conf);
  const { nodes, url } = await startCluster(conf);
  const base = await startWorker(program, single);
  const other = await startWorker(program, single, { AIZUMI_REDIS_URL: url });
  const pair = await compare(single, base, other, rounds, count, CONNECTIONS);
  for (const server of [base, other, ...nodes, single]) await server.stop();
  return pair;
}

/** Three primaries, the slots in equal parts in their order. @returns with the url for AIZUMI_REDIS_URL */
export async function startCluster(conf: string, args: string[] = []): Promise<{ nodes: RedisServer[]; url: string }> {
  const nodes = await Promise.all(
    [0, 1, 2].map((i) =>
      startRedis(`cluster-${i}`, conf, ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', ...args]),
    ),
  );
  await join(nodes);
  const hosts = nodes.map(({ client }) => `${client.options.host}:${client.options.port}`).join(',');
  return { nodes, url: `redis+cluster://${hosts}` };
}

async function join(nodes: RedisServer[]): Promise<void> {
  const share = Math.ceil(16_384 / nodes.length);
  for (const [i, { client }] of nodes.entries()) {
    await client.cluster('ADDSLOTSRANGE', i * share, Math.min(16_383, (i + 1) * share - 1));
    await client.cluster('SET-CONFIG-EPOCH', i + 1);
  }
  const { host, port } = nodes[0]!.client.options;
  for (const { client } of nodes.slice(1)) await client.cluster('MEET', String(host), Number(port));
  await until('the Cluster is complete', async () => {
    const states = await Promise.all(nodes.map(({ client }) => client.cluster('INFO')));
    return states.every((info) => info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3'));
  });
}

async function compare(
  redis: RedisServer,
  base: HttpServer,
  other: HttpServer,
  rounds: number,
  count: number,
  connections: number,
): Promise<Pair> {
  const samples: Pair[] = [];
  for (let round = 0; round <= rounds; round++) {
    const send = (server: HttpServer): Promise<Sample> =>
      stage(server, redis, connections === 1 ? [sends(count, takeIds(count))] : deal(sends(count, takeIds(count))));
    samples.push({ base: await send(base), other: await send(other) });
  }
  samples.shift(); // warm-up
  const best = (which: keyof Pair): Sample => {
    const all = samples.map((pair) => pair[which]);
    const middle = (field: keyof Sample): number => median(all.map((sample) => sample[field]));
    return {
      serverMicros: Math.min(...all.map(({ serverMicros }) => serverMicros)),
      redisMicros: Math.min(...all.map(({ redisMicros }) => redisMicros)),
      perSecond: middle('perSecond'),
      p50: middle('p50'),
      p99: middle('p99'),
      forks: 0,
    };
  };
  return { base: best('base'), other: best('other') };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${READY_WITHIN_MS} ms: ${what}`);
    await sleep(50);
  }
}
