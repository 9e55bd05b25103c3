// One client cannot make a worker die for want of memory: the inputs B2, B4 and B7 of issue 15, with a heap of 256 MB.
import { expect } from 'chai';
import { httpRequest } from '../support/connection.js';
import {
  batchedWaits,
  flood,
  largeSend,
  manyRecvs,
  memoryOf,
  peekOfMany,
  pipelinedWaits,
} from '../support/memory-floods.js';
import { startBrokerProcess } from '../support/process.js';
import type { BrokerProcess } from '../support/process.js';
import { heloRequest, recvRequest, sendRequest } from '../support/requests.js';
import { sharedRedis } from '../support/shared-redis.js';
import { until } from '../support/until.js';

/** Of a container as k8s/base has it. */
const CONTAINER_BYTES = 512 * 1024 * 1024;
/** So long a flood is kept up after it has arrived. */
const FLOOD_MS = 3_000;

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
    expect(new Set(codes)).to.deep.equal(new Set(['200 ', '503 not_done']));
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

  it('survives 200 bodies of 1 MiB, and holds none of them when they are answered', async () => {
    await keepUp(await flood(broker.url, 200, httpRequest(JSON.stringify(largeSend(104, 1))), true));
  });
});
