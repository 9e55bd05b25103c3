// What waiting messages take in Redis: the worker SENDs one to each address, as a pattern, and copies of its entry with other ids and
// payloads fill the queues. And what the worker takes.
import { MB, redisUsedMemory, residentMb } from '../harness/measure.js';
import { payloadOf } from '../harness/requests.js';
import { drive } from './drive.js';
import { GOALS, atMost } from './goals.js';
import { sendBatches, sendReceiveFree, sizeOf } from './requests.js';
import type { MemoryRow, Options, Row } from './results.js';
import { NO_AOF, startRedis, startWorker, stopAll, type HttpServer, type RedisServer } from './servers.js';
import { stage } from './stages.js';
import { CONNECTIONS, USUAL, deal, sends, takeIds, type Load } from './traffic.js';

const PAYLOADS = [100, 1_000, 10_000];
const QUEUES = [1, 100, 10_000];
const MILLION = 1_000_000;
const PIPELINE = 5_000;

/** What a waiting message takes, over lengths of payload and numbers of queues. */
export async function memory({ quick, say }: Options): Promise<(MemoryRow & Row)[]> {
  const messages = quick ? 20_000 : 100_000;
  const rows: (MemoryRow & Row)[] = [];
  for (const payloadBytes of PAYLOADS)
    for (const queues of QUEUES) {
      say(`${messages} messages of ${payloadBytes} bytes in ${queues} queues`);
      const addresses = Array.from({ length: queues }, (_, i) => USUAL.addresses[0]! + i);
      const bytes = await waitingBytes(messages, { addresses, payloadLength: payloadBytes });
      rows.push({ payloadBytes, messages, bytesPerMessage: bytes / messages, queues });
    }
  return rows;
}

/** The goals: a million waiting messages, and the worker after the traffic of the other parts. */
export async function resident(options: Options): Promise<Row[]> {
  const { rounds, count } = sizeOf(options);
  const waiting = options.quick ? MILLION / 5 : MILLION;
  options.say(`${waiting} waiting messages`);
  const waitingMb = ((await waitingBytes(waiting, USUAL)) / MB / waiting) * MILLION;
  options.say('memory of the worker');
  const redis = await startRedis();
  const worker = await startWorker(redis);
  for (let round = 0; round <= rounds; round++)
    await sendReceiveFree((requests) => stage(worker, redis, deal(requests)), count);
  const { now, peak } = residentMb(worker.pid);
  await sendBatches(worker, redis, 4 * count);
  const afterBatches = residentMb(worker.pid).peak;
  await stopAll(worker, redis);
  return [
    {
      what: '1,000,000 waiting messages of 100 bytes in 100 queues, Redis used_memory',
      MB: waitingMb,
      ...atMost(waitingMb, GOALS.waitingMb),
    },
    { what: 'worker resident, peak since start', MB: peak, ...atMost(peak, GOALS.workerMb) },
    { what: 'worker resident, at the end', MB: now },
    { what: 'worker resident, peak with batches of 100 over 64 connections', MB: afterBatches },
  ];
}

async function waitingBytes(count: number, load: Load): Promise<number> {
  const redis = await startRedis(NO_AOF);
  const worker = await startWorker(redis);
  const before = await redisUsedMemory(redis.client);
  await fillQueues(redis, worker, count, load);
  const bytes = (await redisUsedMemory(redis.client)) - before;
  await stopAll(worker, redis);
  return bytes;
}

/** Leaves `count` messages waiting. @returns the first one's id */
export async function fillQueues(redis: RedisServer, worker: HttpServer, count: number, load: Load): Promise<number> {
  const { addresses, payloadLength } = load;
  const firstId = takeIds(count);
  const sample = sends(addresses.length, firstId, load);
  await drive(worker.url, deal(sample, Math.min(CONNECTIONS, sample.length)));
  const entries = await Promise.all(
    addresses.map(async (address) => (await redis.client.xrange(queueKey(address), '-', '+'))[0]?.[1] ?? []),
  );
  for (let id = firstId + addresses.length; id < firstId + count; id += PIPELINE) {
    const pipeline = redis.client.pipeline();
    for (let one = id; one < Math.min(id + PIPELINE, firstId + count); one++) {
      const i = (one - firstId) % addresses.length;
      pipeline.xadd(queueKey(addresses[i]!), '*', ...copy(entries[i]!, firstId + i, one, payloadLength));
    }
    await pipeline.exec();
  }
  return firstId;
}

/** The worker's entry for message `oldId` as it would be for `newId`. */
function copy(fields: string[], oldId: number, newId: number, length: number): string[] {
  const copied = fields.map((field) =>
    field.includes(payloadOf(oldId, length))
      ? field.replace(payloadOf(oldId, length), payloadOf(newId, length))
      : field.replace(String(oldId), String(newId)),
  );
  if (copied.filter((field, i) => field !== fields[i]).length !== 2)
    throw new Error(`id and payload not found in ${fields.join(' ')}`);
  return copied;
}

const queueKey = (address: number): string => `aizumi:{${address}}:queue`;
