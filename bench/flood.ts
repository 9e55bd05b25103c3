// npx tsx bench/flood.ts [--connections 64] [--worker dist/index.js]: what a client waits for its answers beside another that sends
// all it can: alone, beside the flood, and beside it with AIZUMI_MAX_CLIENT_REQUESTS_PER_S. The flood is a process of its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { percentile } from '../harness/measure.js';
import { startRedis, startWorker } from './servers.js';

const PER_S = 100;
/** The client that is measured sends one request after the other, this many a second at most. */
const VICTIM_PER_S = 50;
const SECONDS = 10;
/** On Linux all of 127.0.0.0/8 is this machine. */
const [VICTIM, FLOODER] = ['127.0.0.2', '127.0.0.3'];

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '64' },
    worker: { type: 'string', default: join(repository, 'dist/index.js') },
    flood: { type: 'string' },
  },
});

/** @returns the status */
function send(url: string, agent: Agent, saddr: number, id: number): Promise<number> {
  return new Promise((done, failed) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume().once('end', () => done(response.statusCode ?? 0));
    });
    sent.once('error', failed);
    sent.end(JSON.stringify({ msg_type: 'MSG_SEND_REQ', saddr, daddr: saddr, id, payload: 'x'.repeat(100) }));
  });
}

const agentFrom = (localAddress: string | undefined): Agent => new Agent({ keepAlive: true, localAddress });

async function flood(url: string): Promise<void> {
  const counts: Record<number, number> = {};
  const oneAfterTheOther = async (): Promise<never> => {
    const agent = agentFrom(FLOODER);
    for (let id = 0; ; id++) {
      const status = await send(url, agent, 1, id);
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  process.on('message', () => {
    process.send?.(counts);
    process.exit(0);
  });
  await Promise.all(Array.from({ length: Number(values.connections) }, oneAfterTheOther));
}

async function measure(url: string): Promise<number[]> {
  const agent = agentFrom(VICTIM);
  const times: number[] = [];
  const endMs = performance.now() + SECONDS * 1_000;
  for (let id = 0; performance.now() < endMs; id++) {
    const startMs = performance.now();
    const status = await send(url, agent, 2, id);
    if (status === 200) times.push(performance.now() - startMs);
    else console.error(`… the client that keeps to the rules was answered ${status}`);
    await sleep(1_000 / VICTIM_PER_S);
  }
  agent.destroy();
  return times;
}

async function round(name: string, withFlood: boolean, settings: Record<string, string>): Promise<number> {
  const redis = await startRedis(name.replaceAll(' ', '-'), join(repository, 'src/redis/redis.conf'));
  const worker = await startWorker(resolve(values.worker), redis, settings);
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
  await worker.stop();
  await redis.stop();
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  const told = counts === undefined ? '' : `, the flood was answered ${JSON.stringify(counts)}`;
  console.log(`${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms of ${times.length}${told}`);
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
