// What durability and a Cluster cost the worker: SEND at `quorum` beside `primary`, and through a Cluster beside one Redis. Two
// workers take turns.
import { median } from '../harness/measure.js';
import { GOALS, atLeast, atMost, type Judged } from './goals.js';
import { sizeOf } from './requests.js';
import type { Options, Row } from './results.js';
import { ready, startRedis, startWorker, stopAll, type HttpServer, type RedisServer } from './servers.js';
import { best, inRounds, sendStage, type Sample } from './stages.js';
import { CONNECTIONS } from './traffic.js';

const SLOTS = 16_384;

type Pair = [base: Sample, other: Sample];
type Verdict = [against: string, Judged];

export async function replicated(options: Options): Promise<Row[]> {
  options.say('SEND at quorum, and through a Cluster');
  const primary = await startRedis();
  const replicaOf = ['--replicaof', '127.0.0.1', String(primary.port)];
  const replicas = [await startRedis(replicaOf), await startRedis(replicaOf)] as const;
  await ready(
    'both replicas are in sync',
    async () => (await primary.client.info('replication')).match(/state=online/g)?.length === 2,
  );
  const base = await startWorker(primary);
  const other = await startWorker(primary, { settings: { AIZUMI_DURABILITY: 'quorum' } });
  const rows: Row[] = [];
  const measure = async (name: string, goals: typeof GOALS.quorum | typeof GOALS.quorumMissing): Promise<void> => {
    const many = await compare(primary, [base, other], options, CONNECTIONS);
    const [cpu, rate] = [cpuRatio(many), many[1].perSecond / many[0].perSecond];
    rows.push(rowOf(`primary${name}`, many[0]));
    rows.push(rowOf(`quorum${name}`, many[1], [`CPU × ${cpu.toFixed(2)}`, atMost(cpu, goals.cpu)]));
    rows.push({
      what: '',
      'against the row above': `per second × ${rate.toFixed(2)}`,
      ...atLeast(rate, goals.throughput),
    });
    const alone = await compare(primary, [base, other], options, 1);
    const later = alone[1].p50 - alone[0].p50;
    rows.push(rowOf(`primary${name}, 1 connection`, alone[0]));
    const verdict: Verdict = [`p50 + ${later.toFixed(2)} ms`, atMost(later, goals.delayMs)];
    rows.push(rowOf(`quorum${name}, 1 connection`, alone[1], verdict));
  };
  await measure('', GOALS.quorum);
  await replicas[1].stop();
  await measure(', one replica dead', GOALS.quorumMissing);
  await stopAll(base, other, replicas[0], primary);
  return [...rows, ...(await besideCluster(options))];
}

async function besideCluster(options: Options): Promise<Row[]> {
  const single = await startRedis();
  const { nodes, url } = await startCluster();
  const base = await startWorker(single);
  const other = await startWorker(single, { settings: { AIZUMI_REDIS_URL: url } });
  const pair = await compare(single, [base, other], options, CONNECTIONS);
  await stopAll(base, other, ...nodes, single);
  const cpu = cpuRatio(pair);
  return [
    rowOf('one Redis', pair[0]),
    rowOf('Cluster', pair[1], [`CPU × ${cpu.toFixed(2)}`, atMost(cpu, GOALS.cluster)]),
  ];
}

/** Three primaries, the slots in equal parts in their order. @returns with the url for AIZUMI_REDIS_URL */
export async function startCluster(args: string[] = []): Promise<{ nodes: RedisServer[]; url: string }> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', ...args];
  const nodes = [await startRedis(settings), await startRedis(settings), await startRedis(settings)];
  const share = Math.ceil(SLOTS / nodes.length);
  for (const [i, { client }] of nodes.entries()) {
    await client.cluster('ADDSLOTSRANGE', i * share, Math.min(SLOTS, (i + 1) * share) - 1);
    await client.cluster('SET-CONFIG-EPOCH', i + 1);
  }
  for (const { client } of nodes.slice(1)) await client.cluster('MEET', '127.0.0.1', nodes[0]!.port);
  await ready('the Cluster is complete', async () => {
    const states = await Promise.all(nodes.map(({ client }) => client.cluster('INFO')));
    return states.every((info) => info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3'));
  });
  return { nodes, url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}` };
}

/** The best round for CPU; medians for the rest. */
async function compare(
  redis: RedisServer,
  servers: [HttpServer, HttpServer],
  options: Options,
  connections: number,
): Promise<Pair> {
  const { rounds, count } = sizeOf(options);
  const sent = connections === 1 ? count / 10 : count;
  const all = await inRounds(rounds, async (): Promise<Pair> => {
    const base = await sendStage(servers[0], redis, sent, connections);
    return [base, await sendStage(servers[1], redis, sent, connections)];
  });
  return [0, 1].map((which): Sample => {
    const samples = all.map((pair) => pair[which]!);
    const middle = (field: keyof Sample): number => median(samples.map((sample) => sample[field]));
    const [workerMicros, redisMicros] = [best(samples, 'workerMicros'), best(samples, 'redisMicros')];
    return {
      workerMicros,
      redisMicros,
      perSecond: middle('perSecond'),
      p50: middle('p50'),
      p99: middle('p99'),
      forks: 0,
    };
  }) as Pair;
}

const cpuRatio = ([base, other]: Pair): number => other.workerMicros / base.workerMicros;

const rowOf = (what: string, { workerMicros, perSecond, p50, p99 }: Sample, verdict?: Verdict): Row => ({
  what,
  workerMicros,
  perSecond,
  p50,
  p99,
  ...(verdict && { 'against the row above': verdict[0], ...verdict[1] }),
});
