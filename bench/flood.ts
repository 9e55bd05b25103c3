// npx tsx bench/flood.ts [--connections 64] [--worker dist/index.js]: how long a client waits for its replies beside another that sends
// all it can: alone, beside the flood, and beside it with AIZUMI_MAX_CLIENT_REQUESTS_PER_S. The flood is a process of its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { httpClient, type HttpClient } from '../harness/http-client.js';
import { percentile } from '../harness/measure.js';
import { sendRequest } from '../harness/requests.js';
import { startRedis, startWorker, stopAll, underTest } from './servers.js';

const PER_S = 100;
/** The client that is measured sends one request after the other, this many a second at most. */
const VICTIM_PER_S = 50;
const SECONDS = 10;
/** On Linux all of 127.0.0.0/8 is this machine. */
const [VICTIM, FLOODER] = ['127.0.0.2', '127.0.0.3'];

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '64' },
    worker: { type: 'string', default: underTest.program },
    flood: { type: 'string' },
  },
});

/** @returns the status */
const send = async (client: HttpClient, address: number, id: number): Promise<number> =>
  (await client.ask('POST', '/', JSON.stringify(sendRequest(address, id, 'x'.repeat(100), address)))).status;

async function flood(url: string): Promise<void> {
  const connections = Number(values.connections);
  const client = httpClient(url, { connections, localAddress: FLOODER });
  const counts: Record<number, number> = {};
  const again = async (): Promise<never> => {
    for (let id = 0; ; id++) {
      const status = await send(client, 1, id);
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  process.on('message', () => {
    process.send?.(counts);
    process.exit(0);
  });
  await Promise.all(Array.from({ length: connections }, again));
}

async function measure(url: string): Promise<number[]> {
  const client = httpClient(url, { localAddress: VICTIM });
  const times: number[] = [];
  const endMs = performance.now() + SECONDS * 1_000;
  for (let id = 0; performance.now() < endMs; id++) {
    const startMs = performance.now();
    const status = await send(client, 2, id);
    if (status === 200) times.push(performance.now() - startMs);
    else console.error(`… the client that keeps to the rules got ${status}`);
    await sleep(1_000 / VICTIM_PER_S);
  }
  client.close();
  return times;
}

async function round(name: string, withFlood: boolean, settings: Record<string, string>): Promise<number> {
  const redis = await startRedis();
  const worker = await startWorker(redis, { settings, program: resolve(values.worker) });
  const flooder = withFlood
    ? fork(fileURLToPath(import.meta.url), ['--flood', worker.url, '--connections', values.connections])
    : undefined;
  await sleep(1_500);
  const times = await measure(worker.url);
  let counts: unknown;
  if (flooder) {
    flooder.send('stop');
    [counts] = (await once(flooder, 'message')) as [unknown];
  }
  await stopAll(worker, redis);
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  const replies = counts === undefined ? '' : `, replies to the flood: ${JSON.stringify(counts)}`;
  console.log(`${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms of ${times.length}${replies}`);
  return p99;
}

if (values.flood !== undefined) await flood(values.flood);
else {
  const limit = { AIZUMI_MAX_CLIENT_REQUESTS_PER_S: String(PER_S) };
  const alone = await round('alone', false, limit);
  const beside = await round('beside a flood', true, {});
  const limited = await round(`beside a flood with ${PER_S} requests per s`, true, limit);
  console.log(`p99 is ${(beside / alone).toFixed(1)} x without the limit, ${(limited / alone).toFixed(1)} x with it`);
}
