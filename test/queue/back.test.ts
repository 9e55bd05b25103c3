import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { recv as receive } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/back', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const sendAll = async (...ids: number[]): Promise<void> => {
    for (const id of ids)
      await send(queues, 100, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup: id > 100 });
  };
  const take = async (max = 1): Promise<Delivery[]> => (await receive(queues, 100, { max })).messages;
  const ids = (deliveries: Delivery[]): number[] => deliveries.map(({ id }) => id);
  afterEach(() => queues.close());

  it('gives the message back at once, before newer ones, and it is not held any more', async () => {
    queues = await openQueues();
    await sendAll(1, 2, 3);
    await take(2);
    expect(await back(queues, 100, 1)).to.equal(true);
    expect(await free(queues, 100, 1)).to.equal(false);
    expect(await back(queues, 100, 1)).to.equal(false);
    expect(ids(await take(3))).to.deep.equal([1, 3]);
  });

  it('gives back what was sent with dedup, which stays remembered', async () => {
    queues = await openQueues();
    await sendAll(107);
    for (const delayMs of [0, 60_000]) {
      await take();
      expect(await back(queues, 100, 107, { delayMs })).to.equal(true);
      await sendAll(107);
      expect(await queues.raw.xlen(key('queue'))).to.equal(1);
      await makeDue(queues, 'backed');
    }
    expect(ids(await take())).to.deep.equal([107]);
    expect(await free(queues, 100, 107)).to.equal(true);
    expect(await queues.raw.hlen(key('seen'))).to.equal(0);
  });

  it('gives it back later: not before the delay, then before newer ones', async () => {
    queues = await openQueues();
    await sendAll(1);
    await take();
    const before = await redisMs(queues);
    expect(await back(queues, 100, 1, { delayMs: 150 })).to.equal(true);
    const [member, score] = await queues.raw.zrange(key('backed'), '0', '-1', 'WITHSCORES');
    const due = Number(score);
    expect(due).to.be.within(before + 150, (await redisMs(queues)) + 150);
    const [entry] = await queues.raw.xrange(key('queue'), '-', '+');
    expect(member).to.equal(entry?.[0].replace(/-(\d+)$/, (_, sequence: string) => `-${sequence.padStart(10, '0')}`));
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:backed', '{100}:queue']);
    await sendAll(2, 3);
    expect(ids(await take())).to.deep.equal([2]);
    await free(queues, 100, 2);
    for (;;) {
      const asked = await redisMs(queues);
      const [message] = await take();
      if (message?.id === 1) break;
      expect(asked).to.be.below(due);
      if (message) await back(queues, 100, message.id, { counts: false });
    }
    expect(await redisMs(queues)).to.be.at.least(due);
    expect(ids(await take())).to.deep.equal([3]);
    expect(await queues.raw.exists(key('backed'))).to.equal(0);
  });

  it('puts several that are due in the order of the queue', async () => {
    queues = await openQueues();
    await sendAll(1, 2, 3);
    await take(3);
    for (const id of [3, 1, 2]) await back(queues, 100, id, { delayMs: 60_000 - id });
    expect(await take(3)).to.deep.equal([]);
    await makeDue(queues, 'backed');
    expect(ids(await take(3))).to.deep.equal([1, 2, 3]);
  });

  describe('counts as a delivery', () => {
    it('unless count is false: then the next delivery has the same number', async () => {
      queues = await openQueues({ maxDeliveries: 2 });
      await sendAll(1);
      const attempts = [];
      for (const [counts, delayMs] of [
        [false, 0],
        [false, 60_000],
        [true, 0],
        [false, 0],
        [false, 60_000],
      ] as const) {
        const [message] = (await take()) as [Delivery];
        attempts.push(message.attempt);
        await back(queues, 100, 1, { counts, delayMs, receipt: message.receipt });
        await makeDue(queues, 'backed');
      }
      expect(attempts).to.deep.equal([1, 1, 1, 2, 2]);
      expect((await take())[0]).to.include({ attempt: 2 });
      await back(queues, 100, 1);
      expect(await take(), 'delivered twice: dead').to.deep.equal([]);
      expect(await queues.raw.xlen(key('dead'))).to.equal(1);
    });
  });

  it('with a receipt is about that delivery only', async () => {
    queues = await openQueues();
    await sendAll(7, 7);
    const [first, second] = (await take(2)) as [Delivery, Delivery];
    expect(await back(queues, 100, 7, { receipt: second.receipt, delayMs: 60_000 })).to.equal(true);
    for (const options of [{}, { delayMs: 1 }, { counts: false }]) {
      const failure = await back(queues, 100, 7, { receipt: second.receipt, ...options }).catch(
        (error: unknown) => error,
      );
      expect(failure).to.have.property('reason', 'lease_lost');
    }
    expect(await free(queues, 100, 7, first.receipt)).to.equal(true);
    expect(await queues.raw.zcard(key('backed'))).to.equal(1);
  });

  it('finds nothing that is not held', async () => {
    queues = await openQueues();
    await sendAll(1);
    expect(await back(queues, 100, 1)).to.equal(false);
    expect(await back(queues, 101, 1, { delayMs: 5, counts: false })).to.equal(false);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
  });

  it('keeps its delay over a GBYE', async () => {
    queues = await openQueues();
    await sendAll(1);
    await take();
    await back(queues, 100, 1, { delayMs: 60_000 });
    await gbye(queues, 100);
    expect(await take()).to.deep.equal([]);
    await makeDue(queues, 'backed');
    expect(ids(await take())).to.deep.equal([1]);
  });

  it('is void when somebody deletes the stream by hand', async () => {
    queues = await openQueues();
    await sendAll(1, 2);
    await take(2);
    await back(queues, 100, 1, { delayMs: 60_000 });
    await queues.raw.del(key('queue'));
    expect(await back(queues, 100, 2, { counts: false })).to.equal(true);
    expect(await take()).to.deep.equal([]);
    expect(await queues.keys()).to.deep.equal(['queues']);
  });
});
