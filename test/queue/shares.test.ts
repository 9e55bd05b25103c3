// What a client, and a queue, may take of Redis: counted where it is written, and given back when it ends.
import { expect } from 'chai';
import type { BrokerError } from '../../src/errors.js';
import { stat } from '../../src/queue/broker-stat.js';
import { drop, purge } from '../../src/queue/drop.js';
import { free, freeMany } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import type { Queues } from '../../src/queue/queues.js';
import { send } from '../../src/queue/send.js';
import type { SendOptions } from '../../src/queue/send.js';
import { makeDue, openQueues, recv, take } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { until } from '../../harness/until.js';

const PLAIN: SendOptions = { durability: 'primary', dedup: false };
const OFTEN: Record<string, SendOptions> = {
  'a plain SEND': PLAIN,
  'a SEND with dedup': { ...PLAIN, dedup: true },
  'a SEND with a delay': { ...PLAIN, delayMs: 60_000 },
};
/** 100 KB. */
const LARGE = `"${'x'.repeat(99_998)}"`;

describe('queue/shares', () => {
  const open: TestQueues[] = [];
  const opened = async (...args: Parameters<typeof openQueues>): Promise<TestQueues> => {
    const queues = await openQueues(...args);
    open.push(queues);
    return queues;
  };
  afterEach(() => open.splice(0).forEach((queues) => queues.close()));

  let lastId = 0;
  /** @returns the setting that refused it; undefined: it was done */
  const answered = (request: Promise<unknown>): Promise<string | undefined> =>
    request.then(
      () => undefined,
      (error: unknown) => {
        expect(error).to.include({ reason: 'queue_full', retryAfterS: 1 });
        return /AIZUMI_\w+/.exec((error as BrokerError).message)?.[0] ?? 'messages';
      },
    );
  const put = (to: Queues, client: string, address: number, payload = '1', options = PLAIN) =>
    answered(send(to, address, { saddr: 1, id: ++lastId, payload }, options, client));
  const say = (to: Queues, client: string, address: number) => answered(helo(to, address, {}, client));

  let server: TestServer;
  before(async () => (server = await startRedisServer({ args: ['--appendonly', 'no'] })));
  after(() => server.stop());
  const usedMemory = async ({ raw }: TestQueues): Promise<number> =>
    Number(/used_memory:(\d+)/.exec(await raw.info('memory'))?.[1]);
  const putMany = (to: Queues, count: number, options: Partial<SendOptions> = {}, address = 100, payload = '1') =>
    Promise.all(Array.from({ length: count }, () => put(to, 'a', address, payload, { ...PLAIN, ...options })));

  /** @returns how many were taken until one was refused, by this limit; or so many */
  async function putUntilFull(
    to: Queues,
    { payload = '1', address = 100, most = 20_000, limit = 'AIZUMI_MAX_QUEUE_BYTES' },
  ): Promise<number> {
    for (let taken = 0; taken < most;) {
      const answers = await putMany(to, 250, {}, address, payload);
      const refused = answers.filter((answer) => answer !== undefined);
      for (const answer of refused) expect(answer).to.equal(limit);
      taken += answers.length - refused.length;
      if (refused.length > 0) return taken;
    }
    return most;
  }

  /** @returns the ids of all that can be received */
  async function takeAll(from: Queues, address = 100): Promise<number[]> {
    const ids = [];
    for (;;) {
      const messages = await take(from, address, { max: 1_000 });
      if (messages.length === 0) return ids;
      ids.push(...messages.map(({ id }) => id));
    }
  }

  /** Who has made which queues, and that what is counted is that. */
  async function owners({ raw, prefix }: TestQueues): Promise<Record<string, string>> {
    const key = (name: string): string => `${prefix}:{${prefix}:queues}:${name}`;
    const [of, made] = await Promise.all([raw.hgetall(key('owners')), raw.hgetall(key('made'))]);
    const counted: Record<string, string> = {};
    for (const client of Object.values(of)) counted[client] = String(Number(counted[client] ?? 0) + 1);
    expect(made).to.deep.equal(counted);
    return of;
  }

  describe('queues that a client has made', () => {
    for (const [what, options] of Object.entries(OFTEN))
      it(`are counted and bounded: ${what}`, async () => {
        const queues = await opened({ maxClientQueues: 2 });
        for (const address of [100, 101, 100])
          expect(await put(queues, 'a', address, '1', options)).to.equal(undefined);
        expect(await put(queues, 'a', 102, '1', options)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
        expect(await say(queues, 'a', 102)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
        expect(await queues.raw.exists(`${queues.prefix}:{102}:queue`)).to.equal(0);
        expect(await put(queues, 'a', 101, '1', options), 'a queue that is there').to.equal(undefined);
        expect(await put(queues, 'b', 102, '1', options), 'another client').to.equal(undefined);
        expect(await put(queues, 'a', 102, '1', options), 'to its queue').to.equal(undefined);
        expect(await owners(queues)).to.deep.equal({ 100: 'a', 101: 'a', 102: 'b' });
      });

    it('are given back by GBYE, whoever sends it', async () => {
      const queues = await opened({ maxClientQueues: 1 });
      expect(await say(queues, 'a', 100)).to.equal(undefined);
      expect(await say(queues, 'a', 101)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
      const other = await opened({ keyPrefix: queues.prefix, maxClientQueues: 1 });
      await gbye(other, 100);
      expect(await owners(queues)).to.deep.equal({});
      expect(await say(queues, 'a', 101), 'at once').to.equal(undefined);
      await gbye(other, 101);
      expect(await put(queues, 'a', 102), 'at once').to.equal(undefined);
      await free(other, 102, (await recv(other, 102))!.id);
      await gbye(other, 102);
      await gbye(other, 101);
      expect(await queues.keys()).to.deep.equal([]);
    });

    it('are counted over all workers', async () => {
      const queues = await opened({ maxClientQueues: 10 });
      const other = await opened({ keyPrefix: queues.prefix, maxClientQueues: 10 });
      for (let address = 0; address < 10; address++)
        expect(await put(address % 2 === 0 ? queues : other, 'a', address)).to.equal(undefined);
      expect(await put(other, 'a', 100)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
      // this one knows of nine
      expect(await put(queues, 'a', 100)).to.equal(undefined);
      expect(await put(queues, 'a', 101)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
    });

    it('are not more than that when all come at once', async () => {
      const queues = await opened({ maxClientQueues: 50 });
      const all = await Promise.all(Array.from({ length: 200 }, (_, address) => put(queues, 'a', address)));
      expect(all.filter((limit) => limit === undefined)).to.have.length(50);
      expect(Object.keys(await owners(queues))).to.have.length(50);
    });

    it('are charged to nobody where their creator is unknown', async () => {
      const queues = await opened({ maxClientQueues: 1 });
      await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
      await queues.raw.del(`${queues.prefix}:queues`);
      const other = await opened({ keyPrefix: queues.prefix, maxClientQueues: 1 });
      expect(await put(other, 'a', 100)).to.equal(undefined);
      expect(await owners(queues)).to.deep.equal({});
    });

    it('have a long name once, and not as it is', async () => {
      const queues = await opened({ maxClientQueues: 1 });
      const name = `key ${'x'.repeat(8_000)}`;
      expect(await say(queues, name, 100)).to.equal(undefined);
      expect(await say(queues, name, 101)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
      expect((await owners(queues))['100']).to.match(/^[0-9a-f]{64}$/);
    });
  });

  describe('bytes of a queue', () => {
    for (const [what, options] of Object.entries(OFTEN))
      it(`are bounded, and what is over is not stored: ${what}`, async () => {
        const queues = await opened({ maxQueueBytes: 500_000 });
        let taken = 0;
        let limit: string | undefined;
        while (limit === undefined && taken < 10)
          if (!(limit = await put(queues, 'a', 100, LARGE, options))) taken += 1;
        expect([limit, taken]).to.deep.equal(['AIZUMI_MAX_QUEUE_BYTES', 4]);
        expect(await put(queues, 'b', 101, LARGE, options), 'another queue').to.equal(undefined);
        const [stored, later] = [`${queues.prefix}:{100}:queue`, `${queues.prefix}:{100}:delayed`];
        expect((await queues.raw.xlen(stored)) + (await queues.raw.zcard(later))).to.equal(4);
      });

    it('are free again when messages are', async () => {
      const queues = await opened({ maxQueueBytes: 500_000 });
      while ((await put(queues, 'a', 100, LARGE)) === undefined);
      expect(await put(queues, 'a', 100)).to.equal(undefined);
      await free(queues, 100, (await recv(queues, 100))!.id);
      await until('there is room', async () => (await put(queues, 'a', 100, LARGE)) === undefined);
    });

    it('that large messages take behind many small ones are seen', async () => {
      const queues = await opened({ maxQueueBytes: 2_000_000 });
      await Promise.all(Array.from({ length: 1_000 }, () => put(queues, 'a', 100)));
      let taken = 0;
      while (taken < 50 && (await put(queues, 'a', 100, LARGE)) === undefined) taken += 1;
      expect(taken).to.be.within(10, 20);
    });

    it('that another worker has taken are seen', async () => {
      const queues = await opened({ maxQueueBytes: 1_000_000 });
      const other = await opened({ keyPrefix: queues.prefix, maxQueueBytes: 1_000_000 });
      let taken = 0;
      while (taken < 50 && (await put(taken % 2 === 0 ? queues : other, 'a', 100, LARGE)) === undefined) taken += 1;
      expect(taken).to.be.within(8, 10);
    });

    it('do not refuse a repeat of a message that is there', async () => {
      const queues = await opened({ maxQueueBytes: 500_000 });
      const again = (id: number) =>
        answered(send(queues, 100, { saddr: 1, id, payload: LARGE }, OFTEN['a SEND with dedup']));
      let id = 1;
      while ((await again(id)) === undefined && id < 10) id += 1;
      for (let i = 0; i < 2; i++) {
        expect(await again(id)).to.equal('AIZUMI_MAX_QUEUE_BYTES');
        expect(await again(1)).to.equal(undefined);
      }
    });

    it('have a limit of the queue’s own, under the operator’s', async () => {
      const queues = await opened({ maxQueueBytes: 1_000_000 });
      await helo(queues, 100, { max_queue_bytes: 250_000 });
      await queues.raw.hset(`${queues.prefix}:{101}:settings`, 'max_queue_bytes', 1e15);
      for (const [address, most] of [
        [100, 2],
        [101, 9],
      ] as const) {
        let taken = 0;
        while (taken < 50 && (await put(queues, 'a', address, LARGE)) === undefined) taken += 1;
        expect(taken).to.be.within(most - 1, most);
      }
    });

    it('have the leases among them that all messages may get: RECV makes no queue larger than it may be', async () => {
      const most = 3_000_000;
      const queues = await opened({ maxQueueBytes: most, visibilityTimeoutMs: 3_600_000 }, server);
      const before = await usedMemory(queues);
      const taken = await putUntilFull(queues, { payload: '1' });
      await takeAll(queues);
      expect(taken).to.be.within(4_000, 8_000);
      // a lease takes half as much again with Redis 8.6 (docs/limits.md)
      expect((await usedMemory(queues)) - before).to.be.below(1.4 * most);
    });

    it('have delayed messages among them as they are, however many small ones fall due first', async () => {
      const queues = await opened({ maxQueueBytes: 3_000_000 });
      await putMany(queues, 1_100, { delayMs: 3_600_000 });
      let taken = 0;
      while (taken < 100 && !(await put(queues, 'a', 100, LARGE, { ...PLAIN, delayMs: 604_800_000 }))) taken += 1;
      expect(taken).to.be.within(15, 24);
    });

    it('have each node of the stream among them, however many small ones are in front', async () => {
      const own = await startRedisServer({ args: ['--appendonly', 'no', '--stream-node-max-entries', '1'] });
      const queues = await opened({ maxQueueBytes: 20_000_000 }, own);
      const nodes = 21_000;
      await helo(queues, 100);
      const fill = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'saddr', 1, 'id', i, 'payload', '1') end";
      for (let i = 0; i < nodes; i += 1_000) await queues.raw.eval(fill, 1, `${queues.prefix}:{100}:queue`, 1_000);
      let taken = 0;
      while (taken < 300 && (await put(queues, 'a', 100, LARGE)) === undefined) taken += 1;
      queues.close();
      await own.stop();
      expect(taken).to.be.within(30, 130);
    });

    it('have what is remembered of messages sent once among them, also when they were freed', async () => {
      const queues = await opened({ maxQueueBytes: 200_000, dedupWindowMs: 3_600_000 });
      let taken = 0;
      let limit: string | undefined;
      while (limit === undefined && taken < 3_000) {
        const some = await Promise.all(
          Array.from({ length: 100 }, () => put(queues, 'a', 100, '1', { ...PLAIN, dedup: true })),
        );
        limit = some.find((refused) => refused !== undefined);
        taken += some.filter((refused) => refused === undefined).length;
        await freeMany(queues, 100, await takeAll(queues));
      }
      expect(limit).to.equal('AIZUMI_MAX_QUEUE_BYTES');
      expect(taken).to.be.within(700, 2_200);
      expect((await stat(queues, 100)).queue?.bytes).to.be.within(100_000, 300_000);
    });

    it('are measured once for all who are refused at the same time', async () => {
      const queues = await opened({ maxQueueBytes: 500_000 }, server);
      while ((await put(queues, 'a', 100, LARGE)) === undefined);
      // as known to another worker, which has not measured yet
      const other = await opened({ keyPrefix: queues.prefix, maxQueueBytes: 500_000 }, server);
      await put(other, 'a', 100, '1');
      await other.raw.config('RESETSTAT');
      const limits = await Promise.all(Array.from({ length: 300 }, () => put(other, 'a', 100, LARGE)));
      expect(new Set(limits)).to.deep.equal(new Set(['AIZUMI_MAX_QUEUE_BYTES']));
      const calls = /cmdstat_memory\|usage:calls=(\d+)/.exec(await other.raw.info('commandstats'))?.[1];
      expect(Number(calls ?? 0)).to.be.below(150);
    });

    it('are an estimate for STAT, which measures a bounded part of a queue', async () => {
      const queues = await opened({}, server);
      await put(queues, 'a', 100);
      await put(queues, 'a', 100, '1', { ...PLAIN, delayMs: 60_000 });
      const samples: number[] = [];
      const monitor = await queues.raw.monitor();
      monitor.on('monitor', (_time: string, [command = '', , key = '', , count]: string[]) => {
        if (command.toLowerCase() === 'memory' && key.startsWith(queues.prefix)) samples.push(Number(count));
      });
      await stat(queues, 100);
      await until('it is seen', () => samples.length >= 2);
      monitor.disconnect();
      for (const count of samples) expect(count).to.be.within(1, 1_000);
    });

    describe('of delayed messages', () => {
      const key = ({ prefix }: TestQueues, name: string): string => `${prefix}:{100}:${name}`;
      const summed = ({ raw, prefix }: TestQueues): Promise<(string | null)[]> =>
        raw.hmget(`${prefix}:{100}:counts`, 'delayed_bytes', 'delayed_count');
      /** The sum is of as many as there are, and what Redis says. */
      async function expectExact(queues: TestQueues): Promise<void> {
        const [bytes, count] = await summed(queues);
        expect(Number(count)).to.equal(await queues.raw.zcard(key(queues, 'delayed')));
        const measured = Number(await queues.raw.call('MEMORY', 'USAGE', key(queues, 'delayed'), 'SAMPLES', 0));
        expect(Number(bytes) / measured).to.be.within(0.9, 1.15);
      }
      const later = (queues: TestQueues, length: number, options: Partial<SendOptions> = {}) =>
        put(queues, 'a', 100, `"${'x'.repeat(length)}"`, { ...PLAIN, delayMs: 3_600_000, ...options });

      it('are kept as an exact sum by SEND, RECV and DROP', async () => {
        const queues = await opened();
        for (let i = 0; i < 200; i++)
          expect(await later(queues, 7 * i * i, { dedup: i % 3 === 0, ttlMs: i % 2 ? 7_200_000 : undefined })).to.equal(
            undefined,
          );
        await expectExact(queues);
        const members = await queues.raw.zrange(key(queues, 'delayed'), '0', '-1');
        for (let i = 0; i < 200; i += 4) await queues.raw.zadd(key(queues, 'delayed'), 'XX', 1, members[i]!);
        await takeAll(queues);
        await expectExact(queues);
        expect(await drop(queues, 100, 'delayed', [lastId, lastId - 2, lastId - 9], 10)).to.be.at.least(1);
        await expectExact(queues);
        await purge(queues, 100, 'delayed');
        expect(await summed(queues)).to.deep.equal([null, null]);
      });

      it('are counted again after a version that did not count has written, or a script has stopped', async () => {
        const queues = await opened();
        for (let i = 0; i < 70; i++) await later(queues, 1_000 * i);
        for (const spoil of [
          () => queues.raw.del(key(queues, 'counts')),
          () => queues.raw.zadd(key(queues, 'delayed'), 3e12, `1795624577690899:1:9:::"${'y'.repeat(500_000)}"`),
          () => queues.raw.zpopmax(key(queues, 'delayed')),
        ]) {
          await spoil();
          const fresh = await opened({ keyPrefix: queues.prefix });
          expect(await later(fresh, 10)).to.equal(undefined);
          await expectExact(queues);
        }
        await queues.raw.hset(key(queues, 'counts'), 'delayed_bytes', 5, 'delayed_count', 72);
        await purge(queues, 100, 'delayed');
        expect(await summed(queues)).to.deep.equal([null, null]);
      });
    });

    it('have the dead among them', async () => {
      const queues = await opened({ maxQueueBytes: 500_000, maxDeliveries: 1, visibilityTimeoutMs: 0 });
      let taken = 0;
      for (let i = 0; i < 20; i++) {
        if ((await put(queues, 'a', 100, LARGE)) === undefined) taken += 1;
        await recv(queues, 100);
      }
      expect(taken).to.equal(4);
    });
  });

  describe('bytes that a client has stored', () => {
    it('are bounded over all addresses, whoever else sends there', async () => {
      const queues = await opened({ maxClientBytes: 500_000 });
      for (let i = 0; i < 10; i++) expect(await put(queues, `client ${i}`, 100, LARGE)).to.equal(undefined);
      for (const address of [100, 101, 102, 103]) expect(await put(queues, 'a', address, LARGE)).to.equal(undefined);
      for (const address of [100, 105])
        expect(await put(queues, 'a', address, LARGE)).to.equal('AIZUMI_MAX_CLIENT_BYTES');
      expect(await put(queues, 'b', 100, LARGE)).to.equal(undefined);
    });

    it('are free again when receivers free them, or make room by GBYE', async () => {
      const queues = await opened({ maxClientBytes: 500_000 });
      const other = await opened({ keyPrefix: queues.prefix });
      for (const address of [100, 101, 102, 103]) await put(queues, 'a', address, LARGE);
      expect(await put(queues, 'a', 104, LARGE)).to.equal('AIZUMI_MAX_CLIENT_BYTES');
      for (const address of [100, 101]) await free(other, address, (await recv(other, address))!.id);
      await gbye(other, 101);
      await until('there is room', async () => (await put(queues, 'a', 104, LARGE)) === undefined);
    });

    it('do not add up while receivers keep up', async () => {
      const queues = await opened({ maxClientBytes: 15_000_000 });
      for (let i = 0; i < 200; i++) {
        expect(await put(queues, 'a', 100, LARGE)).to.equal(undefined);
        await free(queues, 100, (await recv(queues, 100))!.id);
      }
    });

    it('have the leases among them that all messages may get', async () => {
      const most = 3_000_000;
      const queues = await opened({ maxClientBytes: most, visibilityTimeoutMs: 3_600_000 }, server);
      const before = await usedMemory(queues);
      let taken = 0;
      for (let address = 100; address < 104; address++)
        taken += await putUntilFull(queues, { address, payload: '1', most: 5_000, limit: 'AIZUMI_MAX_CLIENT_BYTES' });
      for (let address = 100; address < 104; address++) await takeAll(queues, address);
      expect(taken).to.be.within(4_000, 7_000);
      expect((await usedMemory(queues)) - before).to.be.below(1.4 * most);
    });

    it('are all counted where each message is the first to its queue', async () => {
      const queues = await opened({ maxClientBytes: 500_000 });
      const limits = await Promise.all(Array.from({ length: 20 }, (_, i) => put(queues, 'a', 100 + i, LARGE)));
      expect(limits.filter((limit) => limit === undefined)).to.have.length(4);
    });

    it('are not more because others have messages there that are not due', async () => {
      const queues = await opened({ maxClientBytes: 1_000_000, maxQueueBytes: 4_000_000 });
      const other = await opened({ keyPrefix: queues.prefix });
      for (let i = 0; i < 20; i++)
        await put(i % 2 ? queues : other, `other ${i}`, 100, LARGE, { ...PLAIN, delayMs: 604_800_000 });
      for (let i = 0; i < 60; i++) {
        await until('it is let in', async () => (await put(queues, 'a', 100, LARGE)) === undefined);
        await free(queues, 100, (await recv(queues, 100))!.id);
      }
      expect(await put(queues, 'a', 101, LARGE), 'another of its queues').to.equal(undefined);
    });

    it('have what is not due among them until it is, whatever others do there', async () => {
      const queues = await opened({ maxClientBytes: 1_000_000, maxQueueBytes: 4_000_000 });
      while ((await put(queues, 'a', 100, LARGE, { ...PLAIN, delayMs: 604_800_000 })) === undefined);
      for (let i = 0; i < 20; i++) {
        await put(queues, 'b', 100, LARGE);
        await free(queues, 100, (await recv(queues, 100))!.id);
        expect(await put(queues, 'a', 101, LARGE)).to.equal('AIZUMI_MAX_CLIENT_BYTES');
      }
      await makeDue(queues, 'delayed');
      await freeMany(queues, 100, await takeAll(queues));
      await until('there is room', async () => (await put(queues, 'a', 101, LARGE)) === undefined);
    });

    it('are not more with each repeat of a message', async () => {
      const queues = await opened({ maxClientBytes: 300_000 });
      const again = (id: number) =>
        answered(send(queues, 100, { saddr: 1, id, payload: LARGE }, { ...PLAIN, dedup: true }, 'a'));
      for (let i = 0; i < 10; i++) expect(await again(1)).to.equal(undefined);
      expect(await again(2)).to.equal(undefined);
      expect(await again(3)).to.equal('AIZUMI_MAX_CLIENT_BYTES');
      expect(await again(2), 'it is there').to.equal(undefined);
    });

    it('that were not stored do not count', async () => {
      const queues = await opened({ maxClientBytes: 500_000, maxQueueLength: 1 });
      await put(queues, 'a', 100);
      for (let i = 0; i < 20; i++) expect(await put(queues, 'a', 100, LARGE)).to.equal('messages');
    });
  });
});
