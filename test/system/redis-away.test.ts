// Redis dies, hangs, is full, read-only or loses its scripts: replies are in time and correct, and service resumes by itself.
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import type { Reply } from '../../harness/broker.js';
import { openClient } from '../../harness/keep-alive-client.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, spawnBroker, startBrokerProcess } from '../../harness/process.js';
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
import { until } from '../../harness/until.js';

/** Every request must be answered, and service must resume, within this time. */
const PROMISED_MS = patient(1_000);
const PASSWORD = 'open/sesame&=42';
/** The password of a user; the default user, which the tests use, has none. */
const USER = ['--user', 'aizumi', 'on', `>${PASSWORD}`, '~*', '&*', '+@all'];

interface Timed extends Reply {
  tookMs: number;
}

describe('when Redis', function () {
  this.timeout(60_000);
  let server: TestServer;
  let broker: BrokerProcess;
  let raw: Redis | undefined;

  afterEach(async () => {
    raw?.disconnect();
    raw = undefined;
    endAllProcesses();
    await server.stop();
  });

  async function start(args: string[] = [], env: Record<string, string> = {}): Promise<void> {
    server = await startRedisServer({ args });
    broker = await startBrokerProcess({ AIZUMI_REDIS_URL: server.url, AIZUMI_VISIBILITY_TIMEOUT_MS: '1500', ...env });
    await serving();
  }

  /** @returns the time until a request succeeds */
  async function serving(): Promise<number> {
    const askedAt = performance.now();
    await until('the broker serves requests', async () => (await broker.post(statRequest(1))).status === 200, 10_000);
    return performance.now() - askedAt;
  }

  async function timed(request: object): Promise<Timed> {
    const askedAt = performance.now();
    const reply = await broker.post(request);
    return { ...reply, tookMs: performance.now() - askedAt };
  }

  const oneOfEach = (): object[] => [
    sendRequest(100, 1), // to a queue that the worker knows
    sendRequest(101, 1), // to a queue that it does not know
    recvRequest(100),
    freeRequest(100, 1),
    heloRequest(100),
    statRequest(100),
    gbyeRequest(100),
  ];

  function expectUnavailable(reply: Timed, outcomes: string[]): void {
    const { reason, outcome } = reply.json.error as { reason: string; outcome: string };
    expect(reply.tookMs, reply.text).to.be.below(PROMISED_MS);
    expect(reply.status, reply.text).to.equal(503);
    expect(reason).to.equal('unavailable');
    expect(reply.headers.get('retry-after')).to.match(/^[1-9]\d*$/);
    expect(outcome, reply.text).to.be.oneOf(outcomes);
  }

  async function expectAway(): Promise<void> {
    const replies = await Promise.all(oneOfEach().map(timed));
    for (const reply of replies) expectUnavailable(reply, ['not_done']);
    expect((await fetch(`${broker.url}readyz`)).status).to.equal(503);
    expect((await fetch(`${broker.url}livez`)).status).to.equal(200);
    expect((await broker.post({ msg_type: 'MSG_PUSH_REQ' })).status, 'needs no Redis').to.equal(501);
  }

  it('has crashed, every request is answered 503, and service resumes with Redis', async () => {
    await start();
    await broker.post(sendRequest(100, 7));
    await server.kill9();
    await expectAway();
    await server.restart();
    expect(await serving()).to.be.below(PROMISED_MS);
    expect((await fetch(`${broker.url}readyz`)).status).to.equal(200);
    expect((await broker.post(recvRequest(100))).json).to.include({ code: 200, id: 7 });
    expect(
      broker.lines('Redis').filter(({ level }) => level >= 50),
      'one line for the loss',
    ).to.have.length(1);
    expect(broker.lines('Redis is back'), 'one line for the return').to.have.length(1);
  });

  it('hangs, no request hangs with it, each outcome is correct, and service resumes with Redis', async () => {
    await start();
    await broker.post(sendRequest(100, 1));
    server.pause();
    // in progress when Redis hangs: they are written to its socket, which accepts them
    const cut = await Promise.all([...oneOfEach(), sendRequest(100, 2)].map(timed));
    for (const reply of cut) expectUnavailable(reply, ['unknown']);
    expect((await fetch(`${broker.url}readyz`)).status).to.equal(503);
    const refused = await Promise.all([sendRequest(100, 3), sendRequest(100, 4)].map(timed));
    for (const reply of refused) expectUnavailable(reply, ['not_done']);
    // long enough for the broker to reconnect in vain
    const hungAt = performance.now();
    while (performance.now() - hungAt < 2_500) {
      expectUnavailable(await timed(sendRequest(100, 5)), ['not_done']);
      const replies = await Promise.all(oneOfEach().slice(2).map(timed));
      for (const reply of replies) expectUnavailable(reply, ['not_done', 'unknown']);
    }
    expect((await fetch(`${broker.url}livez`)).status).to.equal(200);
    server.resume();
    expect(await serving()).to.be.below(PROMISED_MS);

    const there = await drainQueue(100);
    expect(there, 'acknowledged').to.include(1);
    expect(
      [...there].filter((id) => id > 2),
      'said to be not done',
    ).to.deep.equal([]);
    expect(
      broker.lines('Redis').filter(({ level }) => level >= 50),
      'one line for the loss',
    ).to.have.length(1);
    expect(broker.lines('Redis is back'), 'one line for the return').to.have.length(1);
  });

  it('is down when the broker starts, the broker answers 503, and serves once Redis is up', async () => {
    server = await startRedisServer();
    await server.kill9();
    broker = await startBrokerProcess({ AIZUMI_REDIS_URL: server.url });
    await expectAway();
    await server.restart();
    expect(await serving()).to.be.below(PROMISED_MS);
    expect((await broker.post(sendRequest(100, 1))).status).to.equal(200);
  });

  it('is up, even the first connection that a starting broker accepts is served', async () => {
    server = await startRedisServer();
    const port = await deadPort();
    broker = spawnBroker({ AIZUMI_REDIS_URL: server.url, AIZUMI_PORT: String(port) });
    const client = openClient(`http://127.0.0.1:${port}/`);
    const first = await until(
      'the broker accepts a connection',
      async () => {
        const outcome = await client.post(statRequest(1));
        return outcome.kind === 'replied' && outcome;
      },
      20_000,
    );
    client.close();
    expect(first.status, JSON.stringify(first.json)).to.equal(200);
  });

  it('is out of memory, SEND is refused without effect, while RECV and FREE still work and make room', async () => {
    await start(['--maxmemory', '4mb']);
    const raw = openRaw();
    const payload = 'x'.repeat(2_000);
    const sent: number[] = [];
    const refused: Timed[] = [];
    // each to a queue of its own, several at once, so that memory runs out between any two commands
    for (let address = 1000; refused.length < 20; address += 8) {
      const addresses = Array.from({ length: 8 }, (_, n) => address + n);
      const replies = await Promise.all(addresses.map((to) => timed(sendRequest(to, to, payload))));
      for (const [n, reply] of replies.entries()) {
        if (reply.status === 200) sent.push(addresses[n]!);
        else refused.push({ ...reply, json: { ...reply.json, address: addresses[n] } });
      }
      expect(sent.length, '2 KB messages in 4 MB').to.be.below(2_000);
    }
    for (const reply of refused) {
      expectUnavailable(reply, ['not_done']);
      expect((reply.json.error as { message: string }).message).to.match(/out of memory/);
      const address = reply.json.address as number;
      expect(await raw.keys(`aizumi:{${address}}:*`), `keys of ${address}, after "not_done"`).to.deep.equal([]);
      expect(await raw.zscore('aizumi:queues', address)).to.equal(null);
    }
    const known = sent[0]!;
    expectUnavailable(await timed(sendRequest(known, 1, payload)), ['not_done']);
    expect(await raw.xlen(`aizumi:{${known}}:queue`)).to.equal(1);
    expectUnavailable(await timed(heloRequest(99)), ['not_done']);
    expect((await broker.post(statRequest(known))).status).to.equal(200);

    for (const address of sent.slice(0, 100)) {
      expect((await broker.post(recvRequest(address))).json).to.include({ code: 200, id: address });
      expect((await broker.post(freeRequest(address, address))).status).to.equal(200);
      expect((await broker.post(gbyeRequest(address))).status).to.equal(200);
    }
    expect((await broker.post(sendRequest(known, 1, payload))).status).to.equal(200);
    expect((await broker.post(sendRequest(99, 1, payload))).status).to.equal(200);
    expect(broker.output.length, 'the log, without the messages').to.be.below(50_000);
  });

  it('is read-only, changes are refused without effect until it accepts writes again', async () => {
    await start();
    const raw = openRaw();
    await broker.post(sendRequest(100, 1));
    await broker.post(sendRequest(100, 2));
    await broker.post(recvRequest(100));
    const before = await dataset(raw);
    await raw.replicaof('127.0.0.1', await deadPort());
    for (const request of oneOfEach().filter(
      (request) => !('msg_type' in request && request.msg_type === 'MSG_STAT_REQ'),
    )) {
      const reply = await timed(request);
      expectUnavailable(reply, ['not_done']);
      expect((reply.json.error as { message: string }).message).to.match(/read-only/);
    }
    // not while the broker reconnects to look for another primary
    await until(
      'STAT, which changes nothing, is answered',
      async () => (await broker.post(statRequest(100))).status === 200,
    );
    expect(await dataset(raw)).to.deep.equal(before);
    await raw.replicaof('NO', 'ONE');
    expect(await serving()).to.be.below(PROMISED_MS);
    expect((await broker.post(freeRequest(100, 1))).status).to.equal(200);
    expect((await broker.post(sendRequest(100, 3))).status).to.equal(200);
  });

  it('has lost its scripts, clients do not notice', async () => {
    await start();
    const raw = openRaw();
    const requests = [
      sendRequest(102, 1), // to a queue that the worker does not know: uses a script
      recvRequest(102),
      freeRequest(102, 1),
      statRequest(102),
      gbyeRequest(102),
    ];
    for (const request of requests) {
      await raw.script('FLUSH');
      expect((await broker.post(request)).status, JSON.stringify(request)).to.equal(200);
    }
    await raw.script('FLUSH');
    const many = await Promise.all(Array.from({ length: 20 }, (_, n) => broker.post(sendRequest(200 + n, 1))));
    expect(many.map(({ status }) => status)).to.deep.equal(many.map(() => 200));
  });

  it('closes the connection (CLIENT KILL), requests in progress are answered, and the next ones served', async () => {
    await start();
    const raw = openRaw();
    const acknowledged = new Set<number>();
    const unknown = new Set<number>();
    for (let round = 0; round < 5; round++) {
      const burst = Array.from({ length: 20 }, async (_, n) => {
        const id = round * 100 + n;
        const reply = await timed(sendRequest(100, id));
        if (reply.status === 200) acknowledged.add(id);
        else expectUnavailable(reply, ['not_done', 'unknown']);
        if ((reply.json.error as { outcome?: string } | undefined)?.outcome === 'unknown') unknown.add(id);
      });
      await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await Promise.all(burst);
      expect(await serving()).to.be.below(PROMISED_MS);
    }
    const there = await drainQueue(100);
    expect(
      [...acknowledged].filter((id) => !there.has(id)),
      'lost',
    ).to.deep.equal([]);
    expect(
      [...there].filter((id) => !acknowledged.has(id) && !unknown.has(id)),
      'said to be not done',
    ).to.deep.equal([]);
    expect(broker.exitCode).to.equal(undefined);
  });

  it('is down, the log has its settings and a line for each 5xx with its request id, but no secret', async () => {
    server = await startRedisServer({ args: USER });
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: `redis://aizumi:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}`,
      AIZUMI_MAX_QUEUE_LENGTH: '1234',
      AIZUMI_KEY_PREFIX: 'logged',
    });
    await serving();
    const [startLine] = broker.lines('aizumi listens');
    expect(startLine).to.include({ maxQueueLength: 1234, keyPrefix: 'logged', workers: 1, durability: 'primary' });
    expect(startLine).to.have.property('version');
    expect(startLine?.redisUrl).to.include(`127.0.0.1:${server.port}`);

    const quiet = broker.log.length;
    for (let id = 1; id <= 10; id++) {
      await broker.post(sendRequest(100, id));
      await broker.post(recvRequest(100));
      await broker.post(freeRequest(100, id));
      await broker.post(freeRequest(100, id)); // 404
      await broker.post('no JSON'); // 400
    }
    expect(broker.log.slice(quiet), 'lines for ordinary requests').to.deep.equal([]);

    await server.kill9();
    const failed = await Promise.all(oneOfEach().map(timed));
    const ids = failed.map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).to.equal(failed.length);
    await until('all failures are logged', () =>
      ids.every((id) => broker.log.some(({ requestId }) => requestId === id)),
    );
    expect(broker.log.slice(quiet).filter(({ requestId }) => requestId !== undefined)).to.have.length(failed.length);

    // a wrong password causes errors of its own
    await server.restart();
    await serving();
    const raw = openRaw();
    await raw.acl('SETUSER', 'aizumi', 'resetpass', '>another');
    await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until('the connection is lost', async () => (await broker.post(statRequest(1))).status === 503);
    const trying = performance.now() + 500;
    while (performance.now() < trying)
      for (const request of oneOfEach()) expectUnavailable(await timed(request), ['not_done', 'unknown']);
    // the correct password, but missing permissions
    await raw.acl('SETUSER', 'aizumi', `>${PASSWORD}`, '-@write');
    await until('the broker has logged in again', async () => (await fetch(`${broker.url}readyz`)).ok);
    for (const request of [sendRequest(100, 1), sendRequest(102, 1), recvRequest(100), heloRequest(103)])
      // refused within a running script, so the outcome is unknown
      expectUnavailable(await timed(request), ['not_done', 'unknown']);
    expect(await broker.stop()).to.equal(0);
    expect(broker.lines('aizumi stops')).to.have.length(1);
    expect(broker.output).not.to.include(PASSWORD).and.not.to.include(encodeURIComponent(PASSWORD));
    expect(broker.output, 'of a message').not.to.include('hello');
  });

  it('is given a password in the query of its URL, that is not logged either', async () => {
    server = await startRedisServer({ args: USER });
    const secret = encodeURIComponent(PASSWORD);
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: `redis://127.0.0.1:${server.port}/0?username=aizumi&password=${secret}`,
    });
    await serving();
    expect(broker.output).not.to.include(PASSWORD).and.not.to.include(secret);
  });

  function openRaw(): Redis {
    return (raw = new Redis(server.url));
  }

  /** The ids of all messages of a queue, those under a lease included. */
  async function drainQueue(address: number): Promise<Set<number>> {
    const ids = new Set<number>();
    await until(
      'the queue is empty',
      async () => {
        const { status, json } = await broker.post(recvRequest(address));
        if (status === 200) {
          ids.add(json.id as number);
          await broker.post(freeRequest(address, json.id as number));
          return false;
        }
        const { queue } = (await broker.post(statRequest(address))).json.payload as {
          queue: { waiting: number; leased: number } | null;
        };
        return queue === null || queue.waiting + queue.leased === 0;
      },
      20_000,
    );
    return ids;
  }
});

/** Every key with its serialised value. */
async function dataset(raw: Redis): Promise<Record<string, string>> {
  const keys = (await raw.keys('*')).sort();
  const dumps = await Promise.all(keys.map((key) => raw.dumpBuffer(key)));
  return Object.fromEntries(keys.map((key, n) => [key, dumps[n]!.toString('hex')]));
}

/** A port on which nothing listens. */
async function deadPort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  holder.close();
  return port;
}
