// What requests cost one worker: SEND, RECV and FREE beside the baseline, SENDs in batches, whole cycles beside native commands.
import type { Request } from 'autocannon';
import { drive } from './drive.js';
import { GOALS, atMost } from './goals.js';
import type { CostRow, Options, Row } from './results.js';
import { STOCK, startPeer, startRedis, startWorker, stopAll, type HttpServer, type RedisServer } from './servers.js';
import { best, costOf, emptyQueues, inRounds, ratios, sendStage, stage, type Sample } from './stages.js';
import { EVEN_SHARE, cycles, deal, frees, receives, received, sends, takeIds, type Load } from './traffic.js';

/** Requests in one body. */
const BATCH = 100;
/** 64 have 6,400 SENDs under way at once. */
const BATCH_CONNECTIONS = [8, 64];
/** Messages that wait all the time, over all addresses: a queue is not empty between SEND and RECV. */
const BACKLOG = 4 * EVEN_SHARE;

export const sizeOf = ({ quick }: Options): { rounds: number; count: number; cycles: number } =>
  quick
    ? { rounds: 2, count: 5 * EVEN_SHARE, cycles: 2 * EVEN_SHARE }
    : { rounds: 5, count: 15 * EVEN_SHARE, cycles: 6 * EVEN_SHARE };

/**
 * SEND, RECV and FREE of the same messages.
 * @param run drives requests and measures them
 * @param waiting messages that wait already, from this id on: RECVs get those, and as many wait afterwards
 */
export async function sendReceiveFree<T extends { bodies: string[] }>(
  run: (requests: Request[]) => Promise<T>,
  count: number,
  load?: Load,
  waiting?: number,
): Promise<{ send: T; recv: T; free: T }> {
  const firstId = takeIds(count);
  const send = await run(sends(count, firstId, load));
  const recv = await run(receives(count, load));
  const from = waiting ?? firstId;
  return { send, recv, free: await run(frees(received(recv.bodies, from, load, firstId + count - from))) };
}

/** The floor is the least that a Node broker can do for a SEND; the joined floor writes to Redis as the worker does. */
export async function costs(options: Options): Promise<(CostRow & Row)[]> {
  const { rounds, count } = sizeOf(options);
  const redis = await startRedis();
  const [floor, joinedFloor] = [await startPeer('floor', redis, false), await startPeer('floor', redis, true)];
  const worker = await startWorker(redis);
  const all = await inRounds(rounds, async (round): Promise<Record<string, Sample>> => {
    options.say(`SEND, RECV, FREE beside the floor: round ${round} of ${rounds}`);
    return {
      floor: await sendStage(floor, redis, count),
      joinedFloor: await sendStage(joinedFloor, redis, count),
      ...(await sendReceiveFree((requests) => stage(worker, redis, deal(requests)), count)),
    };
  });
  await stopAll(worker, floor, joinedFloor, redis);
  const of = (name: string): Sample[] => all.map((round) => round[name]!);
  return Object.keys(all[0]!).map((request) => {
    const ratio = ratios(of(request), of('floor'));
    return {
      request,
      ...costOf(of(request)),
      'best worker µs': best(of(request), 'workerMicros'),
      ratio,
      ...(request in GOALS && atMost(ratio.worker, GOALS[request as 'send' | 'recv' | 'free'])),
    };
  });
}

/** Per SEND, but for p50 and p99, which are those of the whole body. */
export async function batches(options: Options): Promise<Row[]> {
  const { rounds, count } = sizeOf(options);
  const redis = await startRedis();
  const worker = await startWorker(redis);
  const rows: Row[] = [];
  for (const connections of BATCH_CONNECTIONS) {
    options.say(`SENDs, ${BATCH} in one body, ${connections} connections`);
    const samples = await inRounds(rounds, () => sendBatches(worker, redis, 4 * count, connections));
    const micros = best(samples, 'workerMicros');
    rows.push({
      what: `SEND, ${BATCH} in one body, ${connections} connections`,
      ...costOf(samples),
      'best worker µs': micros,
      ...atMost(micros, GOALS.batchMicros),
    });
  }
  await stopAll(worker, redis);
  return rows;
}

export async function sendBatches(
  worker: HttpServer,
  redis: RedisServer,
  count: number,
  connections = 64,
): Promise<Sample> {
  const requests = sends(count, takeIds(count)).map(({ body }) => String(body));
  const bodies = Array.from({ length: count / BATCH }, (_, i): Request => {
    const some = requests.slice(i * BATCH, (i + 1) * BATCH);
    return { method: 'POST', body: `[${some.join(',')}]` };
  });
  const sample = await stage(worker, redis, deal(bodies, connections), count);
  await emptyQueues(redis);
  return { ...sample, perSecond: sample.perSecond * BATCH };
}

/** Process CPU of SEND + RECV + FREE: the worker on the shipped redis.conf, native commands on a stock Redis. */
export async function cycle(options: Options): Promise<Row[]> {
  const { rounds, cycles: count } = sizeOf(options);
  const contenders = [
    { what: 'worker, shipped redis.conf', redis: await startRedis() },
    { what: 'XADD + XREADGROUP + XACK + XDEL, writes joined as the worker does', redis: await startRedis([], STOCK) },
    { what: 'the same, plain ioredis: a system call for each command', redis: await startRedis([], STOCK) },
  ];
  const [ours, joined, plain] = contenders.map(({ redis }) => redis) as [RedisServer, RedisServer, RedisServer];
  const servers = [
    await startWorker(ours),
    await startPeer('native', joined, true),
    await startPeer('native', plain, false),
  ];
  for (const { url } of servers) await drive(url, deal(sends(BACKLOG, takeIds(BACKLOG))));
  const all = await inRounds(rounds, async (round) => {
    options.say(`whole cycles beside native commands: round ${round} of ${rounds}`);
    const samples: Sample[] = [];
    for (const [i, { redis }] of contenders.entries())
      samples.push(await stage(servers[i]!, redis, cycles(count, takeIds(count)), count));
    return samples;
  });
  await stopAll(...servers, ours, joined, plain);
  const redisMicros = contenders.map((_, i) =>
    best(
      all.map((round) => round[i]!),
      'redisMicros',
    ),
  );
  return contenders.map(({ what }, i): Row => {
    const samples = all.map((round) => round[i]!);
    const ratio = redisMicros[0]! / redisMicros[i]!;
    return {
      what,
      'Redis µs/cycle': redisMicros[i],
      'server µs/cycle': best(samples, 'workerMicros'),
      forks: samples.reduce((sum, { forks }) => sum + forks, 0),
      ...(i > 0 && { 'worker ÷ this': ratio, ...atMost(ratio, GOALS.cycle) }),
    };
  });
}
