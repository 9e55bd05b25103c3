// The embedded Redis under a real broker: acknowledged messages survive kill -9 of anything, and a data folder has one owner.
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Reply } from '../../harness/broker.js';
import { openClient } from '../../harness/keep-alive-client.js';
import type { KeepAliveClient, Outcome } from '../../harness/keep-alive-client.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, redisPidsOn, spawnBroker, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { testServerProgram } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

/** What the clients know about their messages, by id. */
interface Known {
  acknowledged: Set<number>;
  /** Sent without getting a reply: may exist. */
  cutSends: Set<number>;
  freed: Set<number>;
  /** FREE sent without getting a reply: may be freed. */
  cutFrees: Set<number>;
}

describe('messages in the embedded Redis', function () {
  this.timeout(60_000);
  let temp: string;
  let settings: Record<string, string>;
  let clients: KeepAliveClient[];

  beforeEach(async () => {
    temp = await mkdtemp(join(tmpdir(), 'aizumi-durability-'));
    settings = {
      AIZUMI_DATA_DIR: join(temp, 'data'),
      AIZUMI_REDIS_SERVER: testServerProgram,
      AIZUMI_VISIBILITY_TIMEOUT_MS: '1500',
    };
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.close();
    endAllProcesses();
    await rm(temp, { recursive: true, force: true });
  });

  function client(url: string): KeepAliveClient {
    const opened = openClient(url);
    clients.push(opened);
    return opened;
  }

  const redisPid = async (): Promise<number> =>
    Number(await readFile(join(settings.AIZUMI_DATA_DIR!, 'run', 'redis.pid'), 'utf8'));

  type Killed = [string, (broker: BrokerProcess) => Promise<void>];
  const deaths: Killed[] = [
    ['the broker', (broker) => broker.kill9()],
    [
      'its Redis and then the broker, at the same time',
      async (broker) => {
        const pid = await redisPid();
        process.kill(pid, 'SIGKILL');
        await broker.kill9();
      },
    ],
  ];
  for (const [what, kill] of deaths) {
    it(`survive kill -9 of ${what} under load, and freed messages do not come back`, async () => {
      const first = await startBrokerProcess(settings);
      const load = startLoad(first.url);
      await until('enough messages are freed', () => load.known.freed.size > 50, 20_000);
      await kill(first);
      await load.ended;
      const second = await startBrokerProcess(settings);
      await expectExactly(second, load.known);
      expect(await second.stop()).to.equal(0);
      expect(redisPidsOn(settings.AIZUMI_DATA_DIR!)).to.deep.equal([]);
    });
  }

  it('survive kill -9 of only its Redis under load, and service resumes by itself at once', async () => {
    const broker = await startBrokerProcess(settings);
    const load = startLoad(broker.url);
    await until('enough messages are freed', () => load.known.freed.size > 50, 20_000);
    const killed = await redisPid();
    process.kill(killed, 'SIGKILL');
    const killedAt = performance.now();
    // Requests need not fail: those that arrive while Redis is down wait for it.
    await until('a new Redis process runs', async () => ![killed, 0].includes(await redisPid().catch(() => 0)), 20_000);
    await until('service has resumed', async () => (await broker.post(statRequest(1))).status === 200, 20_000);
    const backMs = performance.now() - killedAt;
    load.stop();
    await load.ended;
    await expectExactly(broker, load.known);
    expect(broker.exitCode).to.equal(undefined);
    expect(backMs).to.be.below(patient(2_000));
  });

  it('are due on time after leases, BACK and delays, even if everything was killed in between', async () => {
    const LATER_MS = 2_000;
    const first = await startBrokerProcess(settings);
    const at = performance.now();
    const ask = (broker: BrokerProcess, msg_type: string, id: number, more: object): Promise<Reply> =>
      broker.post({ ...freeRequest(100, id), msg_type, ...more });
    await first.post({ ...sendRequest(100, 1), delay_ms: LATER_MS });
    for (const id of [2, 3, 4]) await first.post(sendRequest(100, id));
    const { json } = await first.post({ ...recvRequest(100), max: 3, details: true });
    expect((await ask(first, 'MSG_BACK_REQ', 2, { delay_ms: LATER_MS })).status).to.equal(200);
    expect((await ask(first, 'MSG_KEEP_REQ', 3, { visibility_timeout_ms: LATER_MS })).status).to.equal(200);
    expect((await ask(first, 'MSG_KEEP_REQ', 4, { visibility_timeout_ms: 60_000 })).status).to.equal(200);
    process.kill(await redisPid(), 'SIGKILL');
    await first.kill9();
    const second = await startBrokerProcess(settings);
    const came = new Map<number, number>();
    while (came.size < 3) {
      const received = await second.post({
        ...recvRequest(100),
        max: 10,
        wait_ms: 5_000,
        visibility_timeout_ms: 60_000,
      });
      expect(received.status, received.text).to.equal(200);
      for (const { id } of received.json.messages as { id: number }[]) came.set(id, performance.now() - at);
    }
    expect([...came.keys()].sort()).to.deep.equal([1, 2, 3]);
    expect(Math.min(...came.values())).to.be.at.least(LATER_MS);
    const [, , held] = json.messages as { delivery: { receipt: string } }[];
    expect((await ask(second, 'MSG_FREE_REQ', 4, { receipt: held!.delivery.receipt })).status).to.equal(200);
  });

  it('belong to one broker: a second one on the same folder does not start, and says why', async () => {
    const first = await startBrokerProcess(settings);
    await first.post(sendRequest(100, 1));
    const second = spawnBroker(settings);
    expect(await second.exited).to.equal(1);
    expect(second.output)
      .to.include(settings.AIZUMI_DATA_DIR)
      .and.to.include(`in use by another aizumi (pid ${first.pid})`)
      .and.to.include('AIZUMI_DATA_DIR');
    expect(second.output).not.to.match(/^\s+at .*:\d+:\d+/m);
    expect((await first.post(recvRequest(100))).json).to.include({ code: 200, id: 1 });
  });

  it('survive Ctrl+C, which stops everything cleanly', async () => {
    const first = await startBrokerProcess({ ...settings, AIZUMI_WORKERS: '2' });
    const load = startLoad(first.url);
    await until('enough messages are freed', () => load.known.freed.size > 20, 20_000);
    first.signalGroup('SIGINT');
    expect(await first.exited).to.equal(0);
    await load.ended;
    const { AIZUMI_DATA_DIR: dataDir = '' } = settings;
    expect(redisPidsOn(dataDir)).to.deep.equal([]);
    expect(first.workerPids()).to.deep.equal([]);
    expect(existsSync(join(dataDir, 'run')) ? await readdir(join(dataDir, 'run')) : []).to.deep.equal([]);
    expect(first.log.filter(({ level }) => level >= 50)).to.deep.equal([]);
    await expectExactly(await startBrokerProcess(settings), load.known);
  });

  interface Load {
    readonly known: Known;
    stop(): void;
    /** Resolves when all clients have ended: stopped, or without a broker. */
    readonly ended: Promise<unknown>;
  }

  /** Starts senders, and receivers that free half of their messages. */
  function startLoad(url: string): Load {
    const known: Known = { acknowledged: new Set(), cutSends: new Set(), freed: new Set(), cutFrees: new Set() };
    let nextId = 1;
    let stopped = false;

    const send = async (): Promise<void> => {
      const { post } = client(url);
      while (!stopped) {
        const id = nextId++;
        const outcome = await post(sendRequest(100, id));
        if (outcome.kind === 'refused') return;
        if (isDone(outcome)) known.acknowledged.add(id);
        else if (isUnknown(outcome)) known.cutSends.add(id);
        else await pause(5);
      }
    };
    const receive = async (): Promise<void> => {
      const { post } = client(url);
      while (!stopped) {
        const outcome = await post(recvRequest(100));
        if (outcome.kind === 'refused') return;
        if (!isDone(outcome)) {
          await pause(5);
          continue;
        }
        const id = outcome.json.id as number;
        if (id % 2 === 0) continue;
        const freed = await post(freeRequest(100, id));
        if (isDone(freed)) known.freed.add(id);
        else if (isUnknown(freed)) known.cutFrees.add(id);
      }
    };
    const ended = Promise.all([send(), send(), send(), send(), receive(), receive()]);
    return { known, stop: () => void (stopped = true), ended };
  }

  /** Receives and frees until the queue is empty, and compares the messages with what the clients know. */
  async function expectExactly(
    broker: BrokerProcess,
    { acknowledged, cutSends, freed, cutFrees }: Known,
  ): Promise<void> {
    const { post } = client(broker.url);
    const there = new Set<number>();
    await until(
      'the queue is empty',
      async () => {
        const outcome = await post(recvRequest(100));
        if (isDone(outcome)) {
          const id = outcome.json.id as number;
          there.add(id);
          await post(freeRequest(100, id));
          return false;
        }
        const stat = await post(statRequest(100));
        if (!isDone(stat)) return false;
        const { queue } = stat.json.payload as { queue: { waiting: number; leased: number } | null };
        return queue === null || queue.waiting + queue.leased === 0;
      },
      30_000,
    );
    expect(acknowledged.size).to.be.above(freed.size).and.above(50);
    const lost = [...acknowledged].filter((id) => !there.has(id) && !freed.has(id) && !cutFrees.has(id));
    expect(lost, 'lost').to.deep.equal([]);
    expect(
      [...freed].filter((id) => there.has(id)),
      'back from the dead',
    ).to.deep.equal([]);
    expect(
      [...there].filter((id) => !acknowledged.has(id) && !cutSends.has(id)),
      'never sent',
    ).to.deep.equal([]);
  }
});

const isDone = (outcome: Outcome): outcome is Extract<Outcome, { kind: 'replied' }> =>
  outcome.kind === 'replied' && outcome.status === 200;

/** Whether the request may have been carried out although no reply says so. */
function isUnknown(outcome: Outcome): boolean {
  return outcome.kind === 'replied' ? outcome.json.error?.outcome === 'unknown' : outcome.kind === 'broken';
}
