import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { keep } from '../../src/queue/keep.js';
import { recv } from '../../src/queue/recv.js';
import type { Delivery, RecvOptions } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../support/until.js';

describe('queue/recv with an attempt_id', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const attempt = async (attemptId: string, options: RecvOptions = {}): Promise<Delivery[]> =>
    (await recv(queues, 100, { attemptId, ...options })).messages;
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

  it('is forgotten when its lease ends, by itself', async () => {
    await attempt('a', { visibilityTimeoutMs: 100 });
    expect(await queues.raw.pttl(key('attempt:a'))).to.be.within(1, 100);
    await until('it has expired', async () => (await queues.raw.exists(key('attempt:a'))) === 0);
    await attempt('b', { visibilityTimeoutMs: 0 });
    expect(await queues.raw.exists(key('attempt:b')), 'no lease, nothing to repeat').to.equal(0);
  });

  it('may contain anything', async () => {
    for (const id of ['{101}:queue', 'a:b\n* \u0000', '…', 'attempt']) {
      const first = await attempt(id);
      expect(first).to.have.length(1);
      expect(await attempt(id)).to.deep.equal(first);
    }
  });

  it('leaves nothing behind when it found nothing', async () => {
    expect((await recv(queues, 101, { attemptId: 'a' })).messages).to.deep.equal([]);
    expect((await queues.keys()).filter((name) => name.startsWith('{101}'))).to.deep.equal([]);
  });
});
