// Short interruptions of Redis during which no request is refused: a planned fail-over, a restart, late replicas.
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { PASSWORD, startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptedStack } from '../../harness/scripted-stack.js';
import { until } from '../../harness/until.js';

/** Long enough for a busy machine; the interruptions themselves are as short as possible. */
const KEEP = { AIZUMI_DURABILITY_TIMEOUT_MS: '20000' };

describe('a short interruption of Redis', function () {
  this.timeout(120_000);
  let server: TestServer;
  let other: TestServer | undefined;
  let broker: BrokerProcess;
  let raw: Redis;

  afterEach(async () => {
    raw.disconnect();
    endAllProcesses();
    await other?.stop();
    other = undefined;
    await server.stop();
  });

  async function start(args: string[] = [], env: Record<string, string> = KEEP): Promise<void> {
    server = await startRedisServer({ args });
    raw = new Redis(server.url, { maxRetriesPerRequest: 0 }).on('error', () => undefined);
    broker = await startBrokerProcess({ AIZUMI_REDIS_URL: server.url, ...env });
    await until('the broker serves requests', async () => (await broker.post(statRequest(1))).status === 200, 20_000);
  }

  /** Prepares the queues for the requests of {@link oneOfEach}. */
  async function prepare(): Promise<void> {
    for (const address of [100, 101, 102]) await broker.post(sendRequest(address, 1));
    await broker.post(recvRequest(101));
  }
  const oneOfEach = (): object[] => [
    sendRequest(100, 2),
    sendRequest(200, 1),
    { ...sendRequest(201, 1), dedup: true },
    { ...sendRequest(202, 1), delay_ms: 60_000 },
    { ...sendRequest(203, 1), durability: 'quorum' },
    recvRequest(100),
    { ...recvRequest(204), wait_ms: 100 },
    freeRequest(101, 1),
    heloRequest(100),
    gbyeRequest(102),
  ];
  const isPaused = (): Promise<unknown> =>
    until('the requests wait for Redis', async () => Number(await field('blocked_clients')) > 0, 20_000);
  const field = async (name: string): Promise<string> =>
    new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(await raw.info())?.[1] ?? '';
  const ids = async (address: number): Promise<string[]> =>
    (await raw.xrange(`aizumi:{${address}}:queue`, '-', '+')).map(([, fields]) => fields[3] ?? '');
  const codes = (replies: { json: Record<string, unknown> }[]): unknown[] => replies.map(({ json }) => json.code);

  it('writes that a primary pauses and then refuses on its demotion are done once, by the new primary', async () => {
    await start();
    await prepare();
    await raw.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
    const answers = Promise.all(oneOfEach().map((request) => broker.post(request)));
    await isPaused();
    await raw.replicaof('127.0.0.1', 1);
    await raw.call('CLIENT', 'UNPAUSE');
    await until('Redis has refused them', async () => (await field('total_error_replies')) !== '0', 20_000);
    await raw.replicaof('NO', 'ONE');
    expect(codes(await answers)).to.deep.equal([200, 200, 200, 200, 200, 200, 404, 200, 200, 200]);
    expect(await ids(100)).to.deep.equal(['1', '2']);
    for (const address of [200, 201, 203]) expect(await ids(address), String(address)).to.deep.equal(['1']);
    expect(
      broker.lines('').filter(({ level }) => level >= 50),
      'errors in the log',
    ).to.deep.equal([]);
  });

  it('no request fails during a restart, and the order of a body is kept', async () => {
    await start();
    await prepare();
    await server.kill9();
    const body = Array.from({ length: 50 }, (_, i) => sendRequest(300, i + 1));
    const answers = Promise.all([broker.post(body), ...oneOfEach().map((request) => broker.post(request))]);
    await server.restart();
    const [all, ...each] = await answers;
    expect(all.json).to.satisfy((replies: { code: number }[]) => replies.every(({ code }) => code === 200));
    expect(codes(each)).to.deep.equal([200, 200, 200, 200, 200, 200, 404, 200, 200, 200]);
    expect(await ids(300)).to.deep.equal(body.map((_, i) => String(i + 1)));
  });

  it('requests wait for a new primary whose replicas are not connected yet', async () => {
    await start(['--min-replicas-to-write', '1']);
    other = await startRedisServer({ args: ['--replicaof', '127.0.0.1', String(server.port)] });
    await until('Redis accepts writes', async () => (await broker.post(sendRequest(100, 1))).status === 200, 20_000);
    await other.kill9();
    await until('the loss of the replica is noticed', async () => (await field('connected_slaves')) === '0', 20_000);
    const answer = broker.post(sendRequest(100, 2));
    const recv = broker.post(recvRequest(100)); // its script is not loaded yet
    await until('Redis has refused them', async () => (await field('total_error_replies')) !== '0', 20_000);
    await other.restart();
    expect(codes([await answer, await recv])).to.deep.equal([200, 200]);
    expect(await ids(100)).to.deep.equal(['1', '2']);
  });

  it('one that lasts too long ends with refusals that name the reason, and later requests are refused at once', async () => {
    await start([], { AIZUMI_DURABILITY_TIMEOUT_MS: '1000' });
    await prepare();
    await raw.replicaof('127.0.0.1', 1);
    for (const request of [sendRequest(100, 2), sendRequest(400, 1), recvRequest(400)]) {
      const { json } = await broker.post(request);
      expect(json.error).to.include({ reason: 'unavailable', outcome: 'not_done' });
      expect((json.error as { message: string }).message).to.match(/read-only/);
    }
    await raw.replicaof('NO', 'ONE');
    await until(
      'the broker serves requests again',
      async () => (await broker.post(sendRequest(100, 3))).status === 200,
      20_000,
    );
    expect(await ids(100)).to.deep.equal(['1', '3']);
  });

  it('writes paused for more than 800 ms do not count as the loss of a Redis that answers on other connections', async () => {
    await start();
    await prepare();
    await raw.call('CLIENT', 'PAUSE', 2_500, 'WRITE');
    const answers = await Promise.all(oneOfEach().map((request) => broker.post(request)));
    expect(codes(answers)).to.deep.equal([200, 200, 200, 200, 200, 200, 404, 200, 200, 200]);
    expect(broker.lines('Redis is away')).to.deep.equal([]);
  });
});

describe('a planned fail-over by Sentinels', function () {
  this.timeout(180_000);
  let stack: ScriptedStack;
  before(async () => {
    stack = await startScriptedStack();
  });
  after(() => stack.stop());
  afterEach(() => endAllProcesses());

  it('refuses no request at any level, leaves no outcome unknown, and loses or repeats nothing', async () => {
    const sentinels = stack.nodes.map((node) => `${node}:26379`).join(',');
    const broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: `redis+sentinel://:${PASSWORD}@${sentinels}/mymaster`,
      ...KEEP,
    });
    const sent: number[] = [];
    const freed: number[] = [];
    const failed: string[] = [];
    let isStopped = false;
    let lastId = 0;
    const ask = async (request: object, expected: number[]): Promise<Record<string, unknown>> => {
      const { json } = await broker.post(request);
      if (!expected.includes(json.code as number)) failed.push(JSON.stringify(json));
      return json;
    };
    const send = async (durability: string): Promise<void> => {
      while (!isStopped) {
        const id = ++lastId;
        if ((await ask({ ...sendRequest(100, id), durability }, [200])).code === 200) sent.push(id);
      }
    };
    const receive = async (): Promise<void> => {
      for (;;) {
        const { code, id } = await ask({ ...recvRequest(100), wait_ms: 500 }, [200, 404]);
        if (code === 404 && isStopped) return;
        if (code === 200 && (await ask(freeRequest(100, id as number), [200])).code === 200) freed.push(id as number);
      }
    };
    const running = [
      ...['primary', 'quorum', 'all'].flatMap((level) => [send(level), send(level)]),
      receive(),
      receive(),
    ];
    for (let round = 0; round < 2; round++) {
      const before = sent.length;
      await until('enough messages are sent', () => sent.length > before + 100, 30_000);
      const { code, output } = await stack.run(await stack.whole(), 'hand-over.sh', '20');
      expect(code, output).to.equal(0);
    }
    const before = sent.length;
    await until('service continues', () => sent.length > before + 100, 30_000);
    isStopped = true;
    await Promise.all(running);
    expect(failed).to.deep.equal([]);
    expect(freed.sort((a, b) => a - b)).to.deep.equal(sent.sort((a, b) => a - b));
    expect(
      broker.lines('').filter(({ level }) => level >= 50),
      'errors in the log',
    ).to.deep.equal([]);
  });
});
