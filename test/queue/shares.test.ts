// What a client, and a queue, may take of Redis: counted where it is written, and given back when it ends.
import { expect } from 'chai';
import type { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import type { Queues } from '../../src/queue/queues.js';
import { send } from '../../src/queue/send.js';
import type { SendOptions } from '../../src/queue/send.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../support/until.js';

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

    it('are given back by GBYE, whoever says it', async () => {
      const queues = await opened({ maxClientQueues: 1 });
      expect(await say(queues, 'a', 100)).to.equal(undefined);
      expect(await say(queues, 'a', 101)).to.equal('AIZUMI_MAX_CLIENT_QUEUES');
      const other = await opened({ keyPrefix: queues.prefix, maxClientQueues: 1 });
      await gbye(other, 100);
      expect(await owners(queues)).to.deep.equal({});
      await until('there is room again', async () => (await say(queues, 'a', 101)) === undefined);
      await gbye(other, 101);
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

    it('are nobody’s where nobody is known to have made them', async () => {
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
    it('are bounded, wherever they are, whoever else sends there', async () => {
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
