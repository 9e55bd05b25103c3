// What a SEND costs that comes in a body of a hundred.
import type { Request } from 'autocannon';
import type { HttpServer, RedisServer } from './servers.js';
import { emptyQueues, stage, type Sample } from './stages.js';
import { deal, sends, takeIds } from './traffic.js';

/** Requests in one body. */
export const BATCH = 100;

/** 64 have 6,400 SENDs under way at once. */
export const BATCH_CONNECTIONS = [8, 64];

/** Rounds of `count` SENDs, after one that is not counted; everything in the samples is per SEND. Leaves all queues empty. */
export async function measureBatches(
  worker: HttpServer,
  redis: RedisServer,
  rounds: number,
  count: number,
  connections: number,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let r = 0; r <= rounds; r++) {
    const sample = await stage(worker, redis, deal(batches(count), connections), count);
    samples.push({ ...sample, perSecond: sample.perSecond * BATCH });
    await emptyQueues(redis);
  }
  return samples.slice(1);
}

function batches(count: number): Request[] {
  const requests = sends(count, takeIds(count));
  return Array.from({ length: count / BATCH }, (_, i) => ({
    method: 'POST',
    body: `[${requests
      .slice(i * BATCH, (i + 1) * BATCH)
      .map(({ body }) => String(body))
      .join(',')}]`,
  }));
}
