// What waiting messages take in Redis: the worker SENDs one to each address, as a pattern, and copies of its entry
// with other ids and payloads fill the queues.
import { drive } from './drive.js';
import { MB, redisUsedMemory } from '../harness/measure.js';
import { payloadOf } from '../harness/requests.js';
import type { HttpServer, RedisServer } from './servers.js';
import { CONNECTIONS, USUAL, deal, sends, takeIds } from './traffic.js';

const PIPELINE = 5_000;

/** MB that `count` waiting messages take in a Redis that the worker has just begun to use. */
export async function waitingMessagesMb(
  redis: RedisServer,
  worker: HttpServer,
  count: number,
  load = USUAL,
): Promise<number> {
  const before = await redisUsedMemory(redis.client);
  await fillQueues(redis, worker, count, load);
  return ((await redisUsedMemory(redis.client)) - before) / MB;
}

/** Leaves `count` messages waiting. @returns the first one's id */
export async function fillQueues(redis: RedisServer, worker: HttpServer, count: number, load = USUAL): Promise<number> {
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
