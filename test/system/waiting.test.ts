// RECVs that wait while Redis fails: broken connections, Redis itself down, a primary lost under Sentinels and in a Cluster.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { startBeside, startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { patient } from '../../harness/patience.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { startClusterStack, startSentinelStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';
import { startWaiter } from '../support/waiters.js';
import type { Waiter } from '../support/waiters.js';

const LONG_MS = 20_000;
const NAMES = ['aizumi-waiting', 'aizumi-changes'];

/** Kills the connections with this name. @returns how many there were */
async function cut(redis: Redis, name: string): Promise<number> {
  const lines = String(await redis.client('LIST')).split('\n');
  const ids = lines.filter((line) => line.includes(` name=${name} `)).map((line) => /^id=(\d+)/.exec(line)![1]!);
  for (const id of ids) await redis.client('KILL', 'ID', Number(id));
  return ids.length;
}

/** Repeats a SEND until it succeeds. */
const send = (broker: TestBroker, address: number, id: number): Promise<unknown> =>
  until(
    `the SEND to ${address} is done`,
    async () => (await broker.post({ ...sendRequest(address, id), dedup: true })).status === 200,
    20_000,
  );

async function expectEachServed(waiters: Waiter[], first: number): Promise<void> {
  const replies = await Promise.all(waiters.map(({ answered }) => answered));
  expect(replies.map(({ status }) => status)).to.deep.equal(waiters.map(() => 200));
  expect(replies.map(({ json }) => json.id)).to.deep.equal(waiters.map((_, i) => first + i));
}

describe('system/waiting: a RECV with wait_ms', function () {
  this.timeout(60_000);

  describe('with one Redis', () => {
    let redis: TestServer;
    let raw: Redis;
    let broker: TestBroker;
    let other: TestBroker;
    let address = 100;
    before(async () => {
      redis = await startRedisServer();
      raw = new Redis(redis.url, { retryStrategy: () => 50 });
      raw.on('error', () => undefined); // Redis is stopped and restarted
      // an interrupted poll may have taken a message, which is redelivered when this lease ends
      const env = { AIZUMI_REDIS_URL: redis.url, AIZUMI_KEY_PREFIX: 'aizumi', AIZUMI_VISIBILITY_TIMEOUT_MS: '2000' };
      broker = await startBroker(env);
      other = await startBroker(env);
    });
    after(async () => {
      raw.disconnect();
      await Promise.all([broker.stop(), other.stop()]);
      await redis.stop();
    });

    /** Waiters at addresses of their own whose first poll has ended. */
    async function startWaiters(count: number): Promise<{ waiters: Waiter[]; first: number }> {
      const first = address;
      address += count;
      const waiters = Array.from({ length: count }, (_, i) => startWaiter(broker, first + i, LONG_MS));
      await pause(300);
      expect(waiters.filter(({ reply }) => reply !== undefined)).to.deep.equal([]);
      return { waiters, first };
    }

    for (const names of [[NAMES[0]!], [NAMES[1]!], NAMES])
      it(`keeps waiting when ${names.join(' and ')} break, and gets messages sent during and after that`, async () => {
        const { waiters, first } = await startWaiters(20);
        for (const name of names) expect(await cut(raw, name)).to.equal(1);
        for (let i = 0; i < 10; i++) await send(other, first + i, first + i);
        await until('the connections are open again', async () => {
          const list = String(await raw.client('LIST'));
          return NAMES.every((name) => list.includes(` name=${name} `));
        });
        await pause(300);
        for (let i = 10; i < 20; i++) await send(other, first + i, first + i);
        await expectEachServed(waiters, first);
      });

    it('gets a message that was sent while its connections broke again and again', async () => {
      const { waiters, first } = await startWaiters(20);
      const sending = (async () => {
        for (let i = 0; i < 20; i++) await send(other, first + i, first + i);
      })();
      for (let i = 0; i < 30; i++) {
        for (const name of NAMES) await cut(raw, name);
        await pause(20);
      }
      await sending;
      await expectEachServed(waiters, first);
    });

    it('outlasts an outage of Redis, while a RECV that arrives during it is answered 503 within a second', async () => {
      const { waiters, first } = await startWaiters(20);
      await redis.kill9();
      await until('Redis is reported as unreachable', async () => !(await fetch(`${broker.url}readyz`)).ok);
      const startMs = performance.now();
      const reply = await startWaiter(broker, address++, LONG_MS).answered;
      expect(reply.status).to.equal(503);
      expect(reply.json.error).to.include({ reason: 'unavailable', outcome: 'not_done' });
      expect(performance.now() - startMs).to.be.below(patient(1_000));
      // the same behind an earlier waiter as without one
      expect((await startWaiter(broker, first, LONG_MS).answered).status).to.equal(503);
      await pause(1_500);
      expect(waiters.filter((waiter) => waiter.reply !== undefined)).to.deep.equal([]);
      await redis.restart();
      for (let i = 0; i < 20; i++) await send(other, first + i, first + i);
      await expectEachServed(waiters, first);
    });

    it('is answered 503, not 404, if its time is up during an outage', async () => {
      const waiter = startWaiter(broker, address++, 1_500);
      await pause(300);
      await redis.kill9();
      const { status, json } = await waiter.answered;
      expect(status).to.equal(503);
      expect(json.error).to.include({ reason: 'unavailable', outcome: 'not_done' });
      await redis.restart();
      await until('Redis is back', async () => (await fetch(`${broker.url}readyz`)).ok);
    });

    it('is not answered 404 if one of its polls may have taken a message', async () => {
      const queue = address++;
      const lease = { ...recvRequest(queue), visibility_timeout_ms: 500 };
      expect((await other.post(sendRequest(queue, 1))).status).to.equal(200);
      expect((await other.post(lease)).status).to.equal(200);
      const waiting = broker.post({ ...recvRequest(queue), wait_ms: 4_000, visibility_timeout_ms: 60_000 });
      await pause(200);
      redis.pause(); // the lease ends during the pause, so the poll is sent, and its reply arrives too late
      await pause(1_500);
      redis.resume();
      const { status, json } = await waiting;
      if (status !== 200) expect(json.error).to.include({ reason: 'unavailable', outcome: 'unknown' });
    });

    it('is answered in time when Redis hangs', async () => {
      // longer than the detection takes: a connection is pinged once a second, and has 0.8 s to answer
      const waiter = startWaiter(broker, address++, 3_000);
      const startMs = performance.now();
      await pause(300);
      redis.pause();
      const { status } = await waiter.answered;
      redis.resume();
      expect(status).to.equal(503);
      expect(performance.now() - startMs).to.be.below(patient(4_200));
      await until('Redis is back', async () => (await fetch(`${broker.url}readyz`)).ok);
    });
  });

  for (const [shape, start] of [
    ['Sentinels', () => startSentinelStack()],
    ['a Cluster', () => startClusterStack()],
  ] as [string, () => Promise<Stack>][])
    describe(`with ${shape}`, () => {
      let stack: Stack;
      let broker: TestBroker;
      let other: TestBroker;
      before(async () => {
        stack = await start();
        broker = await startBroker({ AIZUMI_REDIS_URL: stack.url });
        other = await startBeside(broker, { AIZUMI_REDIS_URL: stack.url });
      });
      after(async () => {
        await Promise.all([broker.stop(), other.stop()]);
        await stack.stop();
      });

      it('outlasts a fail-over, and is woken by the new primary', async () => {
        const first = 100;
        const waiters = Array.from({ length: 30 }, (_, i) => startWaiter(broker, first + i, LONG_MS));
        await pause(500);
        const old = await stack.primary();
        await old.kill9();
        await until('another node is primary', async () => (await stack.primary()) !== old, 15_000);
        await old.restart(); // a primary without a replica accepts no writes
        for (let i = 0; i < 15; i++) await send(other, first + i, first + i);
        await expectEachServed(waiters.slice(0, 15), first);
        await pause(1_500); // by then the new primary knows all waiters
        for (let i = 15; i < 30; i++) await send(other, first + i, first + i);
        await expectEachServed(waiters.slice(15), first + 15);
        await stack.whole();
      });

      it('needs two connections to each primary, shared by all waiters', async () => {
        const waiters = Array.from({ length: 30 }, (_, i) => startWaiter(broker, 1000 + i, 1_000));
        await Promise.all(waiters.map(({ answered }) => answered));
        for (const node of stack.nodes) {
          if ((await node.role()) !== 'primary') continue;
          const raw = new Redis(node.url);
          const list = String(await raw.client('LIST'));
          raw.disconnect();
          for (const name of NAMES) expect(list.split(` name=${name} `).length - 1).to.equal(1);
        }
      });
    });
});
