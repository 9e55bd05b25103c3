// One client cannot make a worker die for want of memory: the inputs B2, B4 and B7 of issue 15, with a heap of 256 MB.
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { httpRequest } from '../../harness/connection.js';
import {
  batchedWaits,
  flood,
  largeSend,
  manyRecvs,
  memoryOf,
  peekOfMany,
  pipelinedWaits,
} from '../support/memory-floods.js';
import { startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { heloRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

/** Of a container as k8s/base has it. */
const CONTAINER_BYTES = 512 * 1024 * 1024;
/** So long a flood is kept up after it has arrived. */
const FLOOD_MS = 3_000;

/** No room in the worker's memory; on a busy machine Redis may also be silent for so long that the connection is given up. */
const OTHERWISE = ['503 not_done', '503 unknown'];

describe('system/memory', function () {
  this.timeout(120_000);
  let broker: BrokerProcess;
  before(async function () {
    if (process.platform !== 'linux') this.skip();
    const { url } = await sharedRedis();
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: url,
      AIZUMI_KEY_PREFIX: 'memory',
      NODE_OPTIONS: '--max-old-space-size=256',
    });
  });
  after(() => broker.kill9());

  afterEach('the worker serves others, and has not had more memory than a container of 512 MB', async () => {
    // nobody has a key here: who asks now shares with whoever floods, until the flood's connections are known to be closed
    await until('it serves', async () => (await broker.post(sendRequest(1, 1))).status === 200, 10_000);
    expect((await broker.post(recvRequest(1))).status).to.equal(200);
    expect(memoryOf(broker.pid).peak).to.be.below(CONTAINER_BYTES);
  });

  async function keepUp(...floods: { end: () => void }[]): Promise<void> {
    const untilMs = performance.now() + FLOOD_MS;
    await until('the flood has lasted', () => performance.now() > untilMs || broker.exitCode !== undefined, 60_000);
    for (const { end } of floods) end();
    expect(broker.exitCode, broker.stderr).to.equal(undefined);
  }

  it('survives 1,000 RECVs of a message of 1 MiB in one body', async () => {
    await broker.post({ ...heloRequest(100), settings: { max_deliveries: 1_000_000 } });
    await broker.post(largeSend(100, 1));
    const { status, text, json } = await broker.post(manyRecvs(100));
    expect(status).to.equal(207);
    expect(text.length).to.be.below(17_000_000);
    const codes = (json as unknown as { code: number; error?: { outcome: string } }[]).map(
      ({ code, error }) => `${code} ${error?.outcome ?? ''}`,
    );
    expect(codes).to.include('503 not_done');
    expect([...new Set(codes)].filter((code) => !OTHERWISE.includes(code))).to.deep.equal(['200 ']);
  });

  it('survives 20 of them at once whose replies nobody reads', async () => {
    await keepUp(await flood(broker.url, 20, httpRequest(JSON.stringify(manyRecvs(100))), false));
  });

  it('survives 100 PEEKs of 10 messages of 1 MB whose replies nobody reads', async () => {
    for (let id = 0; id < 10; id++) await broker.post(largeSend(101, id));
    await keepUp(await flood(broker.url, 100, httpRequest(JSON.stringify(peekOfMany(101))), false));
  });

  it('survives 60,000 RECVs that wait, pipelined on one connection', async () => {
    await keepUp(await flood(broker.url, 1, pipelinedWaits(60_000, 102), true));
  });

  it('survives 200 bodies of 1,000 RECVs that wait', async () => {
    await keepUp(await flood(broker.url, 200, batchedWaits(1_000, 103), true));
  });

  it('survives 8 bodies of 1,000 RECVs, each of which is told 1,000 messages again by its attempt_id', async () => {
    await broker.post(Array.from({ length: 1_000 }, (_, id) => sendRequest(105, id, 'x'.repeat(200))));
    const again = { ...recvRequest(105), attempt_id: 'A', visibility_timeout_ms: 3_600_000 };
    const first = await broker.post({ ...again, max: 1_000 });
    expect(first.json.messages).to.have.length(1_000);
    // one is told all of them, as before
    const { messages } = (await broker.post({ ...again, max: 1 })).json;
    expect(messages).to.deep.equal(first.json.messages);
    const body = JSON.stringify(Array.from({ length: 1_000 }, () => again));
    const replies = await Promise.all(Array.from({ length: 8 }, () => broker.post(body)));
    for (const { status, text } of replies) {
      expect(status).to.be.oneOf([207, 503]);
      expect(text.length).to.be.below(17_000_000);
    }
  });

  it('survives 400 lists of 1,000 queues at once', async () => {
    for (let from = 10_000; from < 11_000; from += 500)
      await broker.post(Array.from({ length: 500 }, (_, i) => sendRequest(from + i, 1)));
    const lists = await Promise.all(
      Array.from({ length: 400 }, async () => {
        const response = await fetch(`${broker.url}queues?limit=1000&prefix=10`);
        const { queues } = (await response.json()) as { queues?: unknown[] };
        return `${response.status} ${queues?.length ?? ''}`;
      }),
    );
    expect([...new Set(lists)].sort()).to.deep.equal(['200 1000', '503 ']);
  });

  it('survives 200 bodies of 1 MiB, and holds none of them when they are answered', async () => {
    await keepUp(await flood(broker.url, 200, httpRequest(JSON.stringify(largeSend(104, 1))), true));
  });
});

describe('system/memory: RECVs of one large message at once, where nothing is known of its size', function () {
  this.timeout(120_000);
  let server: TestServer;
  let raw: Redis;
  let brokers: BrokerProcess[];
  before(async function () {
    if (process.platform !== 'linux') this.skip();
    server = await startRedisServer({ args: ['--appendonly', 'no'] });
    raw = new Redis(server.url);
    const env = { AIZUMI_REDIS_URL: server.url, NODE_OPTIONS: '--max-old-space-size=256' };
    brokers = await Promise.all([startBrokerProcess(env), startBrokerProcess(env)]);
  });
  after(async () => {
    await Promise.all(brokers.map((broker) => broker.kill9()));
    raw.disconnect();
    await server.stop();
  });

  it('Redis holds a few of them at a time for its replies, and each RECV is answered', async () => {
    const [sender, receiver] = brokers as [BrokerProcess, BrokerProcess];
    await sender.post({ ...heloRequest(100), settings: { max_deliveries: 1_000_000 } });
    await sender.post(largeSend(100, 1));
    const memory = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(await raw.info('memory'))?.[1]);
    const before = await memory('used_memory');
    await raw.config('RESETSTAT');
    const codes = await Promise.all(
      Array.from({ length: 400 }, async () => {
        const { status, json } = await receiver.post({ ...recvRequest(100), visibility_timeout_ms: 0 });
        return `${status} ${(json.error as { outcome: string } | undefined)?.outcome ?? ''}`;
      }),
    );
    expect(codes).to.include('200 ');
    expect([...new Set(codes)].filter((code) => !OTHERWISE.includes(code))).to.deep.equal(['200 ']);
    const peak = (await memory('used_memory_peak')) - before;
    console.log(`      Redis had ${Math.round(peak / 1e6)} MB more for a moment`);
    expect(peak).to.be.below(50_000_000);
    expect(memoryOf(receiver.pid).peak).to.be.below(CONTAINER_BYTES);
  });
});
