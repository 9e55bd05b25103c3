// The version of the data format in Redis, and the data folder of an older release under today's broker.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import { startEmbeddedRedis } from '../../src/redis/embedded/embedded.js';
import type { EmbeddedRedis } from '../../src/redis/embedded/embedded.js';
import { startWorker } from '../../src/worker.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { ask } from '../../harness/ask.js';
import { startRedisServer, testServerProgram } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

describe('the version of the data format', function () {
  this.timeout(30_000);
  let server: TestServer;
  let broker: TestBroker | undefined;
  let logged: string[];
  before(async () => (server = await startRedisServer()));
  afterEach(async () => {
    await broker?.stop();
    broker = undefined;
    await ask(server.port, 'FLUSHALL');
  });
  after(() => server.stop());

  const settings = (): Record<string, string> => ({ AIZUMI_REDIS_URL: server.url, AIZUMI_KEY_PREFIX: 'mine' });
  async function start(): Promise<{ stop(): Promise<void> }> {
    logged = [];
    const log = pino({ level: 'error' }, { write: (line) => void logged.push(line) });
    const config = loadConfig({ AIZUMI_PORT: '0', ...settings() });
    return startWorker(config, server.url, Date.now(), log);
  }
  const refusal = (): Promise<string> =>
    start().then(
      async (worker) => {
        await worker.stop();
        throw new Error('it has started');
      },
      (error: unknown) => (error as Error).message,
    );

  it('is written into a database without one', async () => {
    broker = await startBroker(settings());
    expect(await ask(server.port, 'GET', 'mine:format')).to.equal('1');
  });

  it('keeps an older broker from starting, with advice in the log, and is not changed', async () => {
    await ask(server.port, 'SET', 'mine:format', '2');
    expect(await refusal()).to.match(/format 2 \(key mine:format\).*formats up to 1.*newer one.*restore a backup/s);
    expect(await ask(server.port, 'GET', 'mine:format')).to.equal('2');
  });

  it('keeps a broker from starting if it is not a number', async () => {
    for (const value of ['', '0', '-1', '1.5', 'one']) {
      await ask(server.port, 'SET', 'mine:format', value);
      expect(await refusal(), value).to.contain('the key mine:format in Redis must hold the version');
    }
  });

  it('is logged as an error if a running worker reconnects and finds a newer one', async () => {
    const worker = await start();
    try {
      await ask(server.port, 'SET', 'mine:format', '2');
      await ask(server.port, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await until('the error is logged', () => Promise.resolve(logged.some((line) => line.includes('format 2'))));
    } finally {
      await worker.stop();
    }
  });
});

const FIXTURE = fileURLToPath(new URL('../fixtures/data-format-1', import.meta.url));
const APPEND_ONLY_FILE = join('appendonlydir', 'appendonly.aof.1.incr.aof');
/** Times by Redis's clock, in milliseconds or microseconds, in entry ids, scores, members and expiry times. */
const TIME = /(?<!\w)(1[5-9]\d{11})(\d{3})?(?!\w)/g;

/**
 * Shifts all times, as if the data had just been written: otherwise leases, delays and deduplication windows would have ended. No
 * length changes, so the file stays valid.
 */
function renewTimes(folder: string): void {
  const file = join(folder, APPEND_ONLY_FILE);
  const text = readFileSync(file, 'latin1');
  const writtenMs = Math.max(...[...text.matchAll(/\n(1\d{12})-0\r\n/g)].map(([, ms]) => Number(ms)));
  const olderMs = Date.now() - writtenMs;
  const renewed = text.replace(TIME, (_, ms: string, us = '') => `${Number(ms) + olderMs}${us as string}`);
  writeFileSync(file, renewed, 'latin1');
}

describe('a data folder of format 1, written before versions were stored', function () {
  this.timeout(30_000);
  let dataDir: string;
  let redis: EmbeddedRedis;
  let broker: TestBroker;

  beforeEach(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'aizumi-upgrade-'));
    cpSync(FIXTURE, dataDir, { recursive: true });
    renewTimes(dataDir);
    redis = await startEmbeddedRedis({ dataDir, program: testServerProgram, log: pino({ level: 'silent' }) });
    broker = await startBroker({
      AIZUMI_REDIS_URL: `unix://${pathToFileURL(redis.socketPath).pathname}`,
      AIZUMI_KEY_PREFIX: 'aizumi',
    });
  });
  afterEach(async () => {
    await broker.stop();
    await redis.stop();
    rmSync(dataDir, { recursive: true });
  });

  async function done(request: object): Promise<Record<string, any>> {
    const { json } = await broker.post(request);
    expect(json.code, `${JSON.stringify(request)}: ${JSON.stringify(json)}`).to.equal(200);
    return json;
  }
  const about = (type: string, saddr: number, more: object): object => ({
    msg_type: type,
    saddr,
    daddr: 5000,
    ...more,
  });
  const ids = async (saddr: number, state: string): Promise<number[]> => {
    const { messages } = await done(about('MSG_PEEK_REQ', saddr, { state, max: 100 }));
    return (messages as { id: number }[]).map(({ id }) => id);
  };

  it('has no version before the upgrade, and version 1 afterwards', async () => {
    expect(readFileSync(join(FIXTURE, APPEND_ONLY_FILE), 'latin1')).not.to.contain('aizumi:format');
    const raw = new Redis(redis.socketPath);
    try {
      expect(await raw.get('aizumi:format')).to.equal('1');
    } finally {
      raw.disconnect();
    }
  });

  it('keeps every message in its state', async () => {
    expect(await ids(100, 'waiting')).to.deep.equal([3, 5, 6]);
    expect(await ids(100, 'leased')).to.deep.equal([1, 2]);
    expect(await ids(100, 'delayed')).to.have.members([4, 7, 8]);
    expect(await ids(200, 'dead')).to.deep.equal([1]);
    expect(await ids(300, 'waiting')).to.deep.equal([]);
    const { queues } = (await (await fetch(`${broker.url}queues`)).json()) as { queues: { address: number }[] };
    expect(queues.map(({ address }) => address)).to.deep.equal([100, 200, 300]);
  });

  it('delivers waiting messages in order, returned ones first', async () => {
    const received = [];
    for (let i = 0; i < 3; i++) received.push(await done({ ...recvRequest(100), details: true }));
    expect(received.map(({ id, payload, delivery }) => [id, payload, delivery.attempt])).to.deep.equal([
      [3, 'message 3', 2],
      [5, { text: 'five', list: [1, 2.5, null] }, 1],
      [6, 'six', 1],
    ]);
    expect((await broker.post(recvRequest(100))).status).to.equal(404);
    for (const id of [3, 5, 6]) await done(freeRequest(100, id));
  });

  it('keeps leases, and the attempt_id that took each message', async () => {
    const again = await done({ ...recvRequest(100), attempt_id: 'attempt', details: true });
    expect(again).to.include({ id: 1, payload: 'message 1' });
    await done({ ...freeRequest(100, 1), receipt: again.delivery.receipt });
    await done(freeRequest(100, 2));
    expect(await ids(100, 'leased')).to.deep.equal([]);
  });

  it('keeps the deduplication of waiting, delayed and ended messages', async () => {
    await done({ ...sendRequest(100, 6, 'six'), dedup: true });
    await done({ ...sendRequest(100, 8, 'eight'), dedup: true });
    await done({ ...sendRequest(300, 1, 'once'), dedup: true });
    expect(await ids(100, 'waiting')).to.deep.equal([3, 5, 6]);
    expect(await ids(100, 'delayed')).to.have.length(3);
    expect((await broker.post(recvRequest(300))).status).to.equal(404);
    const { json } = await broker.post({ ...sendRequest(300, 1, 'another'), dedup: true });
    expect(json.error).to.include({ reason: 'id_conflict' });
  });

  it('keeps the settings of a queue, and lets its dead messages be moved back', async () => {
    await done(about('MSG_MOVE_REQ', 200, { ids: [1] }));
    expect(await done({ ...recvRequest(200), visibility_timeout_ms: 60_000 })).to.include({ id: 1, payload: 'dead' });
    const { payload } = await done(statRequest(200));
    expect(payload.queue.settings).to.include({ max_deliveries: 1, visibility_timeout_ms: 1, ttl_ms: 43_200_000 });
  });
});
