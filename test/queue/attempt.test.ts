import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { drop } from '../../src/queue/drop.js';
import { free } from '../../src/queue/free.js';
import { giveBack } from '../../src/queue/give-back.js';
import { gbye } from '../../src/queue/gbye.js';
import { keep } from '../../src/queue/keep.js';
import { recv } from '../../src/queue/recv.js';
import type { Delivery, RecvOptions } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe('queue/recv with an attempt_id', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const attempt = async (attemptId: string, options: RecvOptions = {}): Promise<Delivery[]> =>
    (await recv(queues, 100, { attemptId, ...options })).messages;
  /** Leases that have not ended. */
  const leased = async (): Promise<number> => queues.raw.zcount(key('leases'), `(${await redisMs(queues)}`, '+inf');
  const ids = (deliveries: Delivery[]): number[] => deliveries.map(({ id }) => id);

  beforeEach(async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3, 4, 5])
      await send(queues, 100, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup: id === 2 });
  });
  afterEach(() => queues.close());

  it('returns the same deliveries again and takes no more, however often it is repeated', async () => {
    const first = await attempt('a', { max: 2 });
    expect(ids(first)).to.deep.equal([1, 2]);
    for (const max of [2, 1, 1_000]) expect(await attempt('a', { max })).to.deep.equal(first);
    expect(await queues.raw.zcard(key('leases'))).to.equal(2);
  });

  it('is another attempt with another id, or at another address', async () => {
    expect(ids(await attempt('a'))).to.deep.equal([1]);
    expect(ids(await attempt('b'))).to.deep.equal([2]);
    expect((await recv(queues, 101, { attemptId: 'a' })).messages).to.deep.equal([]);
    expect(ids((await recv(queues, 100)).messages)).to.deep.equal([3]);
  });

  it('takes once, however many repetitions come at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => attempt('a', { max: 3 })));
    for (const each of all) expect(each).to.deep.equal(all[0]);
    expect(await queues.raw.zcard(key('leases'))).to.equal(3);
  });

  it('returns only what is still leased to it', async () => {
    const [, second, third] = (await attempt('a', { max: 4 })) as [Delivery, Delivery, Delivery];
    await free(queues, 100, 1);
    await back(queues, 100, 4);
    await keep(queues, 100, 3, 3_600_000);
    const [again, kept, ...rest] = (await attempt('a', { max: 4 })) as [Delivery, Delivery];
    expect(rest).to.deep.equal([]);
    expect(again).to.deep.equal(second);
    expect(kept).to.deep.equal({ ...third, leaseUntilMs: kept.leaseUntilMs });
    expect(kept.leaseUntilMs - third.leaseUntilMs).to.be.above(3_000_000);
  });

  it('is a new one when nothing of it is left', async () => {
    await attempt('a', { max: 2 });
    await free(queues, 100, 1);
    await free(queues, 100, 2);
    expect(ids(await attempt('a', { max: 2 }))).to.deep.equal([3, 4]);
    await gbye(queues, 100);
    expect((await attempt('a'))[0]).to.include({ id: 3, attempt: 2 });
    expect((await attempt('a'))[0]).to.include({ id: 3, attempt: 2 });
  });

  it('is over with its lease', async () => {
    await attempt('a');
    await makeDue(queues, 'leases');
    expect((await attempt('a'))[0]).to.include({ id: 1, attempt: 2 });
    await makeDue(queues, 'leases');
    expect(ids((await recv(queues, 100)).messages)).to.deep.equal([1]);
    expect(ids(await attempt('a')), 'somebody else has it').to.deep.equal([2]);
  });

  it('lasts as long as the leases that KEEP sets, whatever its own timeout was', async () => {
    for (const visibilityTimeoutMs of [0, 1, 50]) {
      const id = `lease of ${visibilityTimeoutMs} ms`;
      const [{ id: messageId, receipt }] = (await attempt(id, { visibilityTimeoutMs })) as [Delivery];
      await until('its lease has ended', async () => (await leased()) === 0);
      await keep(queues, 100, messageId, 60_000, receipt);
      expect((await attempt(id))[0]).to.include({ id: messageId, receipt, attempt: 1 });
      await free(queues, 100, messageId, receipt);
    }
  });

  it('keeps nothing in Redis beyond the deliveries that are held', async () => {
    const attempts = async (): Promise<number> => queues.raw.zcard(key('attempts'));
    await attempt('a', { max: 2 });
    await attempt('b', { max: 2 });
    expect(await attempts()).to.equal(6);
    for (let i = 0; i < 3; i++) await attempt('a');
    expect(await attempts(), 'asked again').to.equal(6);
    await free(queues, 100, 1);
    expect(await attempts(), 'one freed').to.equal(5);
    await back(queues, 100, 2, { delayMs: 60_000 });
    expect(await attempts(), 'the other given back').to.equal(3);
    await makeDue(queues, 'leases');
    await recv(queues, 100);
    expect(await attempts(), 'one delivered to somebody else').to.equal(2);
    await drop(queues, 100, 'waiting', [4], 10);
    expect(await attempts(), 'the other dropped').to.equal(0);
    await attempt('c');
    await gbye(queues, 100);
    expect(await queues.keys()).not.to.include('{100}:attempts');
  });

  it('keeps nothing when it is used again after its leases have ended', async () => {
    await attempt('a', { max: 5 });
    await makeDue(queues, 'leases');
    expect(ids(await attempt('a'))).to.deep.equal([1]);
    expect(await queues.raw.zcard(key('attempts'))).to.equal(2);
  });

  it('keeps nothing after GBYE, which ends thousands of them in several calls', async () => {
    for (let id = 6; id <= 2_500; id++)
      void send(queues, 100, { saddr: 1, id, payload: '""' }, { durability: 'primary', dedup: false });
    await until('all are sent', async () => (await queues.raw.xlen(key('queue'))) === 2_500);
    await attempt('many', { max: 1_000 });
    await Promise.all(Array.from({ length: 1_500 }, (_, i) => attempt(`${i}`, { visibilityTimeoutMs: 43_200_000 })));
    expect(await queues.raw.zcard(key('attempts'))).to.equal(4_001);
    await gbye(queues, 100);
    expect(await queues.raw.exists(key('attempts'))).to.equal(0);
    expect(await attempt('many', { max: 1_000 })).to.have.length(1_000);
  });

  it('may contain anything', async () => {
    for (const id of ['{101}:queue', 'a:b\n* \u0000', '…', 'attempt']) {
      const first = await attempt(id);
      expect(first).to.have.length(1);
      expect(await attempt(id)).to.deep.equal(first);
    }
  });

  it('is one of many that begin at the same time, and each keeps to its own', async () => {
    const all = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((id) => attempt(id)));
    expect(ids(all.flat())).to.deep.equal([1, 2, 3, 4, 5]);
    await free(queues, 100, 5);
    await send(queues, 100, { saddr: 1, id: 6, payload: '""' }, { durability: 'primary', dedup: false });
    const [sixth] = await attempt('f');
    expect(sixth).to.include({ id: 6 });
    for (const [i, id] of ['a', 'b', 'c', 'd'].entries()) expect(await attempt(id)).to.deep.equal(all[i]);
    expect(await attempt('f')).to.deep.equal([sixth]);
  });

  describe('when its reply was not written', () => {
    const undo = (taken: Delivery[], attemptId?: string): Promise<void> => giveBack(queues, 100, taken, attemptId);

    it('gives its messages back at once, as if they had not been delivered; the next request takes messages again', async () => {
      const first = await attempt('a', { max: 3 });
      await undo(first, 'a');
      expect(await leased()).to.equal(0);
      expect(await queues.raw.exists(key('held'), key('attempts'))).to.equal(0);
      const again = await attempt('a', { max: 3 });
      expect(again.map(({ id, attempt: nth }) => [id, nth])).to.deep.equal(first.map(({ id }) => [id, 1]));
      expect(again.map(({ receipt }) => receipt)).not.to.include(first[0]!.receipt);
    });

    it('keeps them for a request with the same id that has come since', async () => {
      const first = await attempt('a', { max: 3 });
      const second = await attempt('a');
      await undo(first, 'a');
      expect(await leased()).to.equal(3);
      expect(await attempt('a')).to.deep.equal(second);
      for (const { id, receipt } of second) await free(queues, 100, id, receipt);
    });

    it('keeps them for the request that got them before', async () => {
      const first = await attempt('a');
      await undo(await attempt('a'), 'a');
      expect(await attempt('a')).to.deep.equal(first);
    });

    it('gives them back when no reply to any request was written, in whatever order this is reported', async () => {
      for (const order of [
        [0, 1, 2],
        [2, 0, 1],
        [2, 1, 0],
      ]) {
        const asked = [await attempt('a', { max: 2 }), await attempt('a'), await attempt('a')];
        for (const [i, nth] of order.entries()) {
          expect(await leased(), `${order.join()}: ${i} undone`).to.equal(2);
          await undo(asked[nth]!, 'a');
        }
        expect(await leased(), order.join()).to.equal(0);
      }
    });

    it('touches nothing that the attempt_id took later', async () => {
      const [first] = (await attempt('a')) as [Delivery];
      await free(queues, 100, first.id, first.receipt);
      const second = await attempt('a');
      await undo([first], 'a');
      expect(await attempt('a')).to.deep.equal(second);
    });

    it('leaves alone what was redelivered', async () => {
      const first = await attempt('a');
      await makeDue(queues, 'leases');
      const [other] = (await recv(queues, 100)).messages as [Delivery];
      expect(other.id).to.equal(1);
      await undo(first, 'a');
      await undo(first);
      expect(await leased()).to.equal(1);
      expect(await free(queues, 100, 1, other.receipt)).to.equal(true);
    });

    it('leaves alone what somebody has freed, given back or kept', async () => {
      for (const id of ['a', undefined]) {
        const taken = (await recv(queues, 100, { attemptId: id, max: 5 })).messages;
        await free(queues, 100, taken[0]!.id);
        await back(queues, 100, taken[1]!.id, { delayMs: 60_000 });
        await keep(queues, 100, taken[2]!.id, 60_000);
        await undo(taken, id);
        const [kept] = await queues.raw.zrange(key('held'), '0', '-1');
        expect(kept).to.equal(taken[2]!.receipt);
        expect(await leased()).to.equal(1);
        expect(await queues.raw.zcard(key('backed'))).to.equal(1);
        for (const message of [taken[0]!, taken[1]!])
          await send(queues, 100, message, { durability: 'primary', dedup: false });
        await queues.raw.del(key('backed'));
        await gbye(queues, 100);
      }
    });

    it('is one decision, however many ask and go at the same time', async () => {
      for (let round = 0; round < 100; round++) {
        const asked = await Promise.all(Array.from({ length: 4 }, () => attempt('a')));
        // who stays, if anybody, and a newcomer
        const stays = round % 5;
        const [newcomer] = await Promise.all([
          attempt('a'),
          ...asked.filter((_, i) => i !== stays).map((taken) => undo(taken, 'a')),
        ]);
        expect(await leased()).to.equal(1);
        if (stays < 4) expect(newcomer).to.deep.equal(asked[stays]);
        expect(await free(queues, 100, newcomer[0]!.id, newcomer[0]!.receipt)).to.equal(true);
        await send(queues, 100, { saddr: 1, id: 1, payload: '""' }, { durability: 'primary', dedup: false });
      }
    });

    it('takes back a thousand, a part at a time', async () => {
      for (let id = 6; id <= 1_000; id++)
        void send(queues, 100, { saddr: 1, id, payload: '""' }, { durability: 'primary', dedup: false });
      await until('all are sent', async () => (await queues.raw.xlen(key('queue'))) === 1_000);
      const taken = await attempt('a', { max: 1_000 });
      expect(taken).to.have.length(1_000);
      await undo(taken, 'a');
      expect([await leased(), await queues.raw.exists(key('held'), key('attempts'))]).to.deep.equal([0, 0]);
    });

    it('gives nothing back when very many have asked: the messages are redelivered when their leases end', async () => {
      await attempt('a');
      const asked = await Promise.all(Array.from({ length: 1_100 }, () => attempt('a')));
      const [member, score] = (await queues.raw.zrange(key('attempts'), '-1', '-1', 'WITHSCORES')) as [string, string];
      expect([member, Number(score) % 1_000]).to.deep.equal(['=a', 999]);
      await Promise.all(asked.map((taken) => undo(taken, 'a')));
      expect(await leased()).to.equal(1);
    });
  });

  it('leaves nothing behind when it found nothing', async () => {
    expect((await recv(queues, 101, { attemptId: 'a' })).messages).to.deep.equal([]);
    expect((await queues.keys()).filter((name) => name.startsWith('{101}'))).to.deep.equal([]);
  });
});
