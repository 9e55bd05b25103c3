import { expect } from 'chai';
import { free } from '../../src/queue/free.js';
import { keep } from '../../src/queue/keep.js';
import { recv as receive } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/keep', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const leaseOf = async ({ receipt }: Delivery): Promise<number> => {
    const lease = receipt.replace(/^(\d+):([\d-]+)/, '$2:$1');
    return Number(await queues.raw.zscore(key('leases'), lease));
  };
  const take = async (...ids: number[]): Promise<Delivery[]> => {
    for (const id of ids)
      await send(queues, 100, { saddr: 1, id, payload: '1' }, { durability: 'primary', dedup: id > 100 });
    return (await receive(queues, 100, { max: ids.length })).messages;
  };
  afterEach(() => queues.close());

  it('lets the lease end that long from now, later or earlier than it would have', async () => {
    queues = await openQueues();
    const [message] = (await take(7)) as [Delivery];
    for (const timeoutMs of [43_200_000, 10]) {
      const before = await redisMs(queues);
      expect(await keep(queues, 100, 7, timeoutMs)).to.equal(true);
      expect(await leaseOf(message)).to.be.within(before + timeoutMs, (await redisMs(queues)) + timeoutMs);
    }
    expect(await queues.raw.zcard(key('leases'))).to.equal(1);
  });

  it('is about the one delivered first of several with the same id, or about the one that the receipt names', async () => {
    queues = await openQueues();
    const [first, second] = (await take(7, 7)) as [Delivery, Delivery];
    await keep(queues, 100, 7, 1_000_000);
    expect((await leaseOf(first)) - (await leaseOf(second))).to.be.above(900_000);
    await keep(queues, 100, 7, 2_000_000, second.receipt);
    expect((await leaseOf(second)) - (await leaseOf(first))).to.be.above(900_000);
  });

  it('works for a message that was sent with dedup', async () => {
    queues = await openQueues();
    const [message] = (await take(107)) as [Delivery];
    expect(await keep(queues, 100, 107, 1_000_000, message.receipt)).to.equal(true);
    expect((await leaseOf(message)) - message.leaseUntilMs).to.be.above(900_000);
  });

  it('renews a lease that has ended, unless the message was redelivered', async () => {
    queues = await openQueues();
    const [, message] = (await take(1, 2)) as [Delivery, Delivery];
    await makeDue(queues, 'leases');
    expect((await receive(queues, 100)).messages.map(({ id }) => id)).to.deep.equal([1]);
    expect(await keep(queues, 100, 2, 60_000, message.receipt)).to.equal(true);
    expect((await receive(queues, 100)).messages).to.deep.equal([]);
    expect(await free(queues, 100, 2, message.receipt)).to.equal(true);
  });

  it('finds nothing that is not held, and changes nothing', async () => {
    queues = await openQueues();
    await take(1);
    const before = await queues.raw.zrange(key('leases'), '0', '-1', 'WITHSCORES');
    expect(await keep(queues, 100, 2, 60_000)).to.equal(false);
    expect(await keep(queues, 101, 1, 60_000)).to.equal(false);
    expect(await queues.raw.zrange(key('leases'), '0', '-1', 'WITHSCORES')).to.deep.equal(before);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:held', '{100}:leases', '{100}:queue']);
  });

  it('is lease_lost for a delivery that is over', async () => {
    queues = await openQueues();
    const [message] = (await take(1)) as [Delivery];
    await makeDue(queues, 'leases');
    const [again] = (await receive(queues, 100)).messages as [Delivery];
    const failure = await keep(queues, 100, 1, 9_000_000, message.receipt).catch((error: unknown) => error);
    expect(failure).to.have.property('reason', 'lease_lost');
    expect(await leaseOf(again)).to.equal(again.leaseUntilMs);
  });
});
