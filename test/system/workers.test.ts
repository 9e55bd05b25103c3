// Several workers, in one process and in several, behave as one broker: under load, when one is killed, and when they stop.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { openClient } from '../../harness/keep-alive-client.js';
import type { KeepAliveClient, Outcome } from '../../harness/keep-alive-client.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, redisPidsOn, spawnBroker, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { testServerProgram } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

type Replied = Extract<Outcome, { kind: 'replied' }>;
interface Delivery {
  saddr: number;
  id: number;
}

describe('several workers', function () {
  this.timeout(60_000);
  let settings: Record<string, string>;
  let clients: KeepAliveClient[];

  beforeEach(async () => {
    settings = {
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
      AIZUMI_WORKERS: '2',
    };
    clients = [];
  });
  afterEach(() => {
    for (const client of clients) client.close();
    endAllProcesses();
  });

  function client(url: string): KeepAliveClient {
    const opened = openClient(url);
    clients.push(opened);
    return opened;
  }

  it('give 40 receivers of one queue every message once, each in the order of sending', async () => {
    const brokers = await Promise.all([
      startBrokerProcess(settings),
      startBrokerProcess({ ...settings, AIZUMI_WORKERS: '1' }),
    ]);
    const SENDERS = 8;
    const EACH = 250;
    let sent = 0;
    const received: Delivery[][] = [];

    const send = async (sender: number): Promise<void> => {
      const { post } = client(brokers[sender % 2]!.url);
      for (let n = 1; n <= EACH; n++) {
        expect(status(await post(sendRequest(100, sender * 1000 + n, { n }, sender)))).to.equal(200);
        sent += 1;
      }
    };
    const receive = async (receiver: number): Promise<void> => {
      const { post } = client(brokers[receiver % 2]!.url);
      const mine: Delivery[] = (received[receiver] = []);
      for (;;) {
        const allSent = sent === SENDERS * EACH;
        const reply = replied(await post(recvRequest(100)));
        if (reply.status === 404 && allSent) return;
        if (reply.status === 404) {
          await pause(10);
          continue;
        }
        const { saddr, id } = reply.json as Delivery;
        mine.push({ saddr, id });
        expect(status(await post(freeRequest(100, id)))).to.equal(200);
      }
    };
    await Promise.all([...numbers(SENDERS).map((n) => send(n + 1)), ...numbers(40).map(receive)]);

    const ids = received.flat().map(({ id }) => id);
    expect(new Set(ids).size, 'different messages').to.equal(SENDERS * EACH);
    expect(ids, 'deliveries').to.have.length(SENDERS * EACH);
    for (const mine of received) {
      for (let sender = 1; sender <= SENDERS; sender++) {
        const order = mine.filter(({ saddr }) => saddr === sender).map(({ id }) => id);
        expect(order).to.deep.equal([...order].sort((a, b) => a - b));
      }
    }
    const shares = received.filter((mine) => mine.length > 0).length;
    expect(shares, 'receivers that got something').to.be.above(20);
  });

  it('lose nothing when one is killed while it serves, and replace it', async () => {
    const broker = await startBrokerProcess({ ...settings, AIZUMI_VISIBILITY_TIMEOUT_MS: '3000' });
    const before = broker.workerPids();
    expect(before).to.have.length(2);
    const SENDERS = 8;
    const EACH = 100;
    const acknowledged = new Set<number>();
    const cutSends = new Set<number>();
    const cutFrees = new Set<number>();
    const deliveries: number[] = [];
    let nextId = 1;
    let sending = SENDERS;

    /** Tries until it is answered; an answer that was cut off is told to `onCut`. */
    const persist = async (
      post: KeepAliveClient['post'],
      request: () => object,
      onCut: () => void,
    ): Promise<Replied> => {
      for (;;) {
        const outcome = await post(request());
        if (outcome.kind === 'replied') return outcome;
        expect(outcome.kind, 'another worker listens all the time').to.equal('broken');
        onCut();
      }
    };
    const send = async (sender: number): Promise<void> => {
      const { post } = client(broker.url);
      for (let n = 0; n < EACH; n++) {
        let id = 0;
        const reply = await persist(
          post,
          () => sendRequest(100, (id = nextId++), 'x', sender),
          () => cutSends.add(id),
        );
        expect(reply.status).to.equal(200);
        acknowledged.add(id);
      }
      sending -= 1;
    };
    const isDrained = async (post: KeepAliveClient['post']): Promise<boolean> => {
      const { json } = await persist(
        post,
        () => statRequest(100),
        () => undefined,
      );
      const { waiting, leased } = json.payload.queue as { waiting: number; leased: number };
      return waiting + leased === 0;
    };
    const receive = async (): Promise<void> => {
      const { post } = client(broker.url);
      for (;;) {
        const allSent = sending === 0;
        const reply = await persist(
          post,
          () => recvRequest(100),
          () => undefined,
        );
        if (reply.status === 404) {
          if (allSent && (await isDrained(post))) return;
          await pause(10);
          continue;
        }
        expect(reply.status).to.equal(200);
        const { id } = reply.json as Delivery;
        deliveries.push(id);
        const freed = await persist(
          post,
          () => freeRequest(100, id),
          () => cutFrees.add(id),
        );
        expect(freed.status, `FREE of ${id}`).to.be.oneOf(cutFrees.has(id) ? [200, 404] : [200]);
      }
    };
    const work = Promise.all([...numbers(SENDERS).map((n) => send(n + 1)), ...numbers(8).map(receive)]);
    await until('a third is delivered', () => deliveries.length > (SENDERS * EACH) / 3, 20_000);
    // this need not break a request off: at that instant all replies may be in their sockets
    process.kill(before[0]!, 'SIGKILL');
    await work;

    const delivered = new Set(deliveries);
    expect(
      [...acknowledged].filter((id) => !delivered.has(id)),
      'lost',
    ).to.deep.equal([]);
    expect(
      [...delivered].filter((id) => !acknowledged.has(id) && !cutSends.has(id)),
      'made up',
    ).to.deep.equal([]);
    const twice = deliveries.filter((id, i) => deliveries.indexOf(id) !== i);
    expect(
      twice.filter((id) => !cutFrees.has(id)),
      'twice',
    ).to.deep.equal([]);
    const after = await until('a new worker', () => {
      const pids = broker.workerPids();
      return pids.length === 2 && pids;
    });
    expect(after).to.include(before[1]).and.not.to.include(before[0]);
    const deaths = broker.lines('a worker died');
    expect(deaths).to.have.length(1);
    expect(deaths[0]).to.have.property('signal', 'SIGKILL');
    expect(JSON.stringify(deaths[0])).to.include(String(before[0]));
  });

  it('leave no connection open that a worker was given and died before it took', async () => {
    const broker = await startBrokerProcess(settings);
    const [hung] = broker.workerPids();
    process.kill(hung!, 'SIGSTOP');
    // every other one is given to the worker that hangs, until that has one that it does not take
    const asked = numbers(8).map(() => client(broker.url).post(statRequest(1)));
    const outcomes: Outcome[] = [];
    asked.forEach((outcome) => void outcome.then((known) => outcomes.push(known)));
    await until('all but one are answered', () => outcomes.length === 7);
    process.kill(hung!, 'SIGKILL');
    await until('the last one is told', () => outcomes.length === 8);
    expect(outcomes.map(({ kind }) => kind).sort()).to.deep.equal(['broken', ...Array(7).fill('replied')]);
  });

  for (const workers of ['1', '2']) {
    it(`answer every request that they took before they stop, with ${workers} worker(s)`, async () => {
      const broker = await startBrokerProcess({ ...settings, AIZUMI_WORKERS: workers });
      let answered = 0;
      let asked = false;
      const broken: string[] = [];
      const load = async (n: number): Promise<void> => {
        const { post } = client(broker.url);
        for (;;) {
          const outcome = await post(sendRequest(200 + n, 1));
          if (outcome.kind === 'refused') return;
          if (outcome.kind === 'broken') {
            // a new connection may be one that the kernel took for a process that was just closing its listening socket
            if (outcome.reused) broken.push(String(outcome.error.code));
            return;
          }
          if (outcome.status === 200) answered += 1;
          else if (asked) broken.push(JSON.stringify(outcome.json));
        }
      };
      const loads = Promise.all(numbers(40).map(load));
      await until('it is under load', () => answered > 200, 20_000);
      const askedAt = performance.now();
      asked = true;
      broker.signal('SIGTERM');
      const code = await broker.exited;
      await loads;
      expect(performance.now() - askedAt).to.be.below(patient(10_000));
      expect(broken, `broken of ${answered} answered`).to.deep.equal([]);
      expect(code).to.equal(0);
    });
  }

  it('stop within 10 s, whatever connections do, and finish what still comes', async () => {
    const broker = await startBrokerProcess(settings);
    const idle = client(broker.url);
    await idle.post(statRequest(1));
    const [slow, stuck] = [await halfSent(broker, 300), await halfSent(broker, 301)];
    const askedAt = performance.now();
    broker.signal('SIGTERM');
    await until('it no longer listens', () => refuses(broker));
    // impatience changes nothing
    broker.signal('SIGTERM');
    broker.signalGroup('SIGINT');
    broker.signalGroup('SIGTERM');
    slow.finish();
    const answer = await slow.answer;
    expect(answer)
      .to.match(/^HTTP\/1\.1 200 OK\r\n/)
      .and.to.match(/\r\nConnection: close\r\n/i);
    expect(await broker.exited).to.equal(0);
    expect(performance.now() - askedAt).to.be.below(patient(10_000));
    expect(await stuck.answer, 'never complete, so never answered with success').not.to.include('200 OK');
    expect(broker.lines('aizumi stops')).to.have.length(1);
  });

  it('go on for AIZUMI_DRAIN_DELAY_MS when they are told to stop, and say so to a balancer', async () => {
    const broker = await startBrokerProcess({ ...settings, AIZUMI_DRAIN_DELAY_MS: '3000' });
    const probe = async (): Promise<number> => (await fetch(`${broker.url}readyz?exclude=redis`)).status;
    const kept = client(broker.url);
    await kept.post(statRequest(1));
    expect(await probe()).to.equal(200);
    const toldMs = performance.now();
    broker.signal('SIGTERM');
    await until('it says that it stops', async () => (await probe()) === 503);
    expect(await kept.post(statRequest(1))).to.include({ kind: 'replied', status: 200, connection: 'keep-alive' });
    expect(await client(broker.url).post(statRequest(1))).to.include({ kind: 'replied', status: 200 });
    expect(await broker.exited).to.equal(0);
    expect(performance.now() - toldMs).to.be.above(3_000);
  });

  describe('told to stop during the start', () => {
    let temp: string;
    let dataDir: string;
    beforeEach(async () => {
      temp = await mkdtemp(join(tmpdir(), 'aizumi-stop-'));
      dataDir = join(temp, 'data');
    });
    afterEach(() => rm(temp, { recursive: true, force: true }));

    /** Whether it has a handler for the signal, from /proc. */
    const hears = ({ pid }: BrokerProcess, signal: number): boolean => {
      const [, caught = '0'] = /^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return (BigInt(`0x${caught}`) >> BigInt(signal - 1)) % 2n === 1n;
    };

    it('by SIGHUP as soon as it hears signals, obey when they have started; SIGUSR2 does no harm', async () => {
      const broker = spawnBroker({ AIZUMI_DATA_DIR: dataDir, AIZUMI_REDIS_SERVER: testServerProgram });
      await until('it hears SIGUSR2', () => hears(broker, constants.signals.SIGUSR2), 20_000);
      expect(broker.output, 'nothing of it is loaded').to.equal('');
      broker.signal('SIGUSR2');
      broker.signal('SIGHUP');
      expect(await broker.exited, broker.output).to.equal(0);
      expect(broker.lines('aizumi stops')).to.have.length(1);
      expect(broker.lines('log level is now debug')).to.have.length(1);
      expect(redisPidsOn(dataDir)).to.deep.equal([]);
    });

    const moments: [string, (broker: BrokerProcess) => unknown][] = [
      ['it has the data folder', () => existsSync(join(dataDir, 'run'))],
      ['its Redis is there', () => existsSync(join(dataDir, 'run', 'redis.sock'))],
      ['its workers are there', (broker) => broker.workerPids().length === 2],
    ];
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      for (const [moment, reached] of signal === 'SIGTERM' ? moments : moments.slice(1)) {
        it(`by ${signal} when ${moment}, leave nothing behind`, async () => {
          const broker = spawnBroker({
            AIZUMI_WORKERS: '2',
            AIZUMI_DATA_DIR: dataDir,
            AIZUMI_REDIS_SERVER: testServerProgram,
          });
          await until(moment, () => reached(broker), 20_000);
          if (signal === 'SIGINT') broker.signalGroup(signal);
          else broker.signal(signal);
          const code = await broker.exited;
          expect(code, broker.output).to.be.oneOf([0, null]);
          await until('no worker is left', () => broker.workerPids().length === 0);
          expect(redisPidsOn(dataDir)).to.deep.equal([]);
          if (existsSync(join(dataDir, 'run'))) expect(await readdir(join(dataDir, 'run'))).to.deep.equal([]);
          expect(broker.output).not.to.match(/^\s+at .*:\d+:\d+/m);
        });
      }
    }
  });
});

interface HalfSent {
  finish(): void;
  /** All that came back until the connection ended, however it did. */
  answer: Promise<string>;
}

/** A SEND of which all but the end of its body has been sent and has arrived. */
async function halfSent({ url }: BrokerProcess, daddr: number): Promise<HalfSent> {
  const body = JSON.stringify(sendRequest(daddr, 1));
  const { port } = new URL(url);
  const socket: Socket = connect(Number(port), '127.0.0.1');
  let text = '';
  socket.on('data', (data) => (text += data.toString()));
  socket.on('error', () => undefined); // told by 'close' and by what came until then
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  await once(socket, 'connect');
  const head = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  // Expect: the server's "100 Continue" tells that it has the request
  socket.write(`${head}Expect: 100-continue\r\n\r\n`);
  await until('the request has arrived', () => text.includes('100 Continue'));
  text = '';
  socket.write(body.slice(0, 20));
  return { finish: () => void socket.write(body.slice(20)), answer: closed };
}

async function refuses({ url }: BrokerProcess): Promise<boolean> {
  const probe = openClient(url);
  const outcome = await probe.post(statRequest(1));
  probe.close();
  return outcome.kind === 'refused';
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

function replied(outcome: Outcome): Replied {
  if (outcome.kind === 'replied') return outcome;
  throw new Error(outcome.kind === 'broken' ? `the connection broke: ${outcome.error.message}` : 'nobody listens');
}

const status = (outcome: Outcome): number => replied(outcome).status;
