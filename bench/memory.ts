// What waiting messages take in Redis: the worker SENDs one to each address, as a pattern, and copies of its entry
// with other ids and payloads fill the queues.
import { drive } from './drive.js';
import { MB, redisUsedMemory } from './measure.js';
import type { HttpServer, RedisServer } from './servers.js';
import { ADDRESSES, FIRST_ADDRESS, deal, payloadOf, sends, takeIds } from './traffic.js';

const PIPELINE = 5_000;

/** MB that `count` waiting messages take in a Redis that the worker has just begun to use. */
export async function waitingMessagesMb(redis: RedisServer, worker: HttpServer, count: number): Promise<number> {
  const before = await redisUsedMemory(redis.client);
  const firstId = takeIds(count);
  const sample = sends(ADDRESSES, firstId);
  await drive(worker.url, deal(sample));
  const entries = await Promise.all(
    sample.map(async (_, i) => (await redis.client.xrange(queueKey(FIRST_ADDRESS + i), '-', '+'))[0]?.[1] ?? []),
  );
  for (let id = firstId + ADDRESSES; id < firstId + count; id += PIPELINE) {
    const pipeline = redis.client.pipeline();
    for (let one = id; one < Math.min(id + PIPELINE, firstId + count); one++) {
      const i = (one - firstId) % ADDRESSES;
      pipeline.xadd(queueKey(FIRST_ADDRESS + i), '*', ...copy(entries[i]!, firstId + i, one));
    }
    await pipeline.exec();
  }
  return ((await redisUsedMemory(redis.client)) - before) / MB;
}

/** The worker's entry for message `oldId` as it would be for `newId`. */
function copy(fields: string[], oldId: number, newId: number): string[] {
  const copied = fields.map((field) =>
    field.includes(payloadOf(oldId))
      ? field.replace(payloadOf(oldId), payloadOf(newId))
      : field.replace(String(oldId), String(newId)),
  );
  if (copied.filter((field, i) => field !== fields[i]).length !== 2)
    throw new Error(`id and payload not found in ${fields.join(' ')}`);
  return copied;
}

const queueKey = (address: number): string => `aizumi:{${address}}:queue`;
