// npm run load:measure -- memory: what a waiting message takes in Redis.
import { waitingMessagesMb } from '../bench/memory.js';
import { MB } from '../harness/measure.js';
import { startRedis, startWorker } from '../bench/servers.js';
import { USUAL } from '../bench/traffic.js';
import { PROGRAM, REDIS_CONF, type Measure } from './measuring.js';
import type { Rows } from './results.js';

const PAYLOADS = [100, 1_000, 10_000];
const QUEUES = [1, 100, 10_000];
const FULL = 100_000;
const QUICK = 20_000;

const memory: Measure<'memory'> = async ({ quick, say }) => {
  const messages = quick ? QUICK : FULL;
  const rows: Rows['memory'] = [];
  for (const payloadBytes of PAYLOADS)
    for (const queues of QUEUES) {
      say(`${messages} messages of ${payloadBytes} bytes in ${queues} queues`);
      const bytesPerMessage = await measureOne(messages, payloadBytes, queues);
      rows.push({ payloadBytes, messages, bytesPerMessage, queues });
    }
  return rows;
};

export const parts = { memory };

async function measureOne(messages: number, payloadLength: number, queues: number): Promise<number> {
  const load = { addresses: Array.from({ length: queues }, (_, i) => USUAL.addresses[0]! + i), payloadLength };
  const redis = await startRedis(`memory-${payloadLength}-${queues}`, REDIS_CONF, ['--appendonly', 'no']); // the file takes no memory
  const worker = await startWorker(PROGRAM, redis);
  const megabytes = await waitingMessagesMb(redis, worker, messages, load);
  await worker.stop();
  await redis.stop();
  return (megabytes * MB) / messages;
}
