import { expect } from 'chai';
import { send } from '../../src/queue/send.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../support/until.js';

describe('queue/recv', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const sendAll = async (...ids: number[]): Promise<void> => {
    for (const id of ids) await send(queues, 100, { saddr: 1, id, payload: `"${id}"` });
  };
  const recvIds = async (count: number): Promise<(number | undefined)[]> => {
    const ids = [];
    for (let i = 0; i < count; i++) ids.push((await recv(queues, 100))?.id);
    return ids;
  };
  afterEach(() => queues.close());

  it('gives messages in the order in which they were sent', async () => {
    queues = await openQueues();
    await sendAll(5, 3, 4, 3);
    expect(await recvIds(5)).to.deep.equal([5, 3, 4, 3, undefined]);
  });

  it('returns what was sent', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 4294967295, id: Number.MAX_SAFE_INTEGER, payload: '{"ü":[1.0]}' });
    expect(await recv(queues, 100)).to.deep.equal({
      saddr: 4294967295,
      id: Number.MAX_SAFE_INTEGER,
      payload: '{"ü":[1.0]}',
    });
  });

  it('leases the message for the visibility timeout by the clock of Redis', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 12_345 });
    await sendAll(7);
    const before = await redisMs(queues);
    await recv(queues, 100);
    const after = await redisMs(queues);
    const [member, ends] = (await queues.raw.zrange(key('leases'), '0', '-1', 'WITHSCORES')) as [string, string];
    expect(Number(ends)).to.be.within(before + 12_345, after + 12_345);
    const [entry] = await queues.raw.xrange(key('queue'), '-', '+');
    const [ms, sequence] = (entry?.[0] as string).split('-') as [string, string];
    expect(member).to.match(new RegExp(`^${ms}-${sequence.padStart(10, '0')}:\\d{16}$`));
    const [stampedEntry, stamp] = member.split(':') as [string, string];
    expect(await queues.raw.zrange(key('held'), '0', '-1', 'WITHSCORES')).to.deep.equal([
      `${stamp}:${stampedEntry}`,
      '7',
    ]);
  });

  it('finds nothing where there is no queue, and leaves nothing behind', async () => {
    queues = await openQueues();
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await queues.keys()).to.deep.equal([]);
  });

  it('gives a message back when its lease ends, not before, ahead of newer ones', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 150 });
    await sendAll(1, 2);
    const takenAt = await redisMs(queues);
    expect(await recvIds(1)).to.deep.equal([1]);
    const leaseEnds = Number((await queues.raw.zrange(key('leases'), '0', '0', 'WITHSCORES'))[1]);
    expect(leaseEnds).to.be.at.least(takenAt + 150);
    // 2 is newer: while 1 is leased it comes; then 1 is back, on time
    expect(await recvIds(1)).to.deep.equal([2]);
    await sendAll(3);
    await until('the lease ends', async () => (await redisMs(queues)) >= leaseEnds);
    expect(await recvIds(1)).to.deep.equal([1]);
  });

  it('does not give a leased message to anybody else before its lease ends', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 200 });
    await sendAll(1);
    await recv(queues, 100);
    const leaseEnds = Number((await queues.raw.zrange(key('leases'), '0', '0', 'WITHSCORES'))[1]);
    for (;;) {
      const before = await redisMs(queues);
      const taken = await recv(queues, 100);
      if (taken === undefined) {
        expect(before).to.be.below(leaseEnds);
        continue;
      }
      expect(taken.id).to.equal(1);
      expect(await redisMs(queues)).to.be.at.least(leaseEnds);
      return;
    }
  });

  it('gives back many messages of one millisecond in the order in which they were sent', async () => {
    queues = await openQueues();
    const batch = queues.raw.multi();
    for (let id = 0; id < 300; id++) batch.xadd(key('queue'), '*', 'saddr', 1, 'id', id, 'payload', '1');
    await batch.exec();
    const ids = Array.from({ length: 300 }, (_, id) => id);
    expect(await recvIds(300)).to.deep.equal(ids);
    await endLeases(queues, key('leases'));
    expect(await recvIds(300)).to.deep.equal(ids);
  });

  it('gives back the older message first, although its lease ended last', async () => {
    queues = await openQueues();
    await sendAll(1, 2);
    await recvIds(2);
    const [first, second] = (await queues.raw.zrange(key('leases'), '0', '-1')) as [string, string];
    await queues.raw.zadd(key('leases'), 2, first, 1, second);
    expect(await recvIds(2)).to.deep.equal([1, 2]);
  });

  it('puts a message that was delivered too often into the dead stream, with its count and time', async () => {
    queues = await openQueues({ maxDeliveries: 2 });
    await sendAll(1, 2);
    for (let delivery = 1; delivery <= 2; delivery++) {
      expect(await recvIds(1)).to.deep.equal([1]);
      await endLeases(queues, key('leases'));
    }
    const [original] = await queues.raw.xrange(key('queue'), '-', '+', 'COUNT', 1);
    const before = await redisMs(queues);
    expect(await recvIds(2)).to.deep.equal([2, undefined]);
    const dead = await queues.raw.xrange(key('dead'), '-', '+');
    expect(dead).to.have.length(1);
    const { died_at_ms: diedAtMs, ...rest } = fieldsOf(dead[0]?.[1] as string[]);
    expect(rest).to.deep.equal({
      saddr: '1',
      id: '1',
      payload: '"1"',
      cause: 'max_deliveries',
      deliveries: '2',
      entry: original?.[0],
      sent: original?.[0].split('-')[0],
    });
    expect(Number(diedAtMs)).to.be.within(before, await redisMs(queues));
    expect(await queues.raw.xlen(key('queue'))).to.equal(1);
    expect(await queues.raw.zcard(key('held'))).to.equal(1);
  });

  it('gives a stream that was made by hand its group', async () => {
    queues = await openQueues();
    await queues.raw.xadd(key('queue'), '*', 'saddr', 1, 'id', 9, 'payload', '"by hand"');
    expect(await recv(queues, 100)).to.deep.equal({ saddr: 1, id: 9, payload: '"by hand"' });
  });

  it('forgets what it knew of messages whose stream was deleted by hand', async () => {
    queues = await openQueues();
    await sendAll(1);
    await recvIds(1);
    await endLeases(queues, key('leases'));
    await queues.raw.del(key('queue'));
    expect(await recvIds(1)).to.deep.equal([undefined]);
    expect(await queues.keys()).to.deep.equal(['queues']);
  });

  it('passes over a message that was deleted from the stream by hand', async () => {
    queues = await openQueues();
    await sendAll(1, 2);
    await recvIds(1);
    await endLeases(queues, key('leases'));
    const [first] = await queues.raw.xrange(key('queue'), '-', '+', 'COUNT', 1);
    await queues.raw.xdel(key('queue'), first?.[0] as string);
    expect(await recvIds(2)).to.deep.equal([2, undefined]);
    expect(await queues.raw.zcard(key('leases'))).to.equal(1);
  });
});

async function redisMs(queues: TestQueues): Promise<number> {
  const [seconds, micros] = await queues.raw.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** As if all leases had ended long ago. */
async function endLeases(queues: TestQueues, leases: string): Promise<void> {
  for (const member of await queues.raw.zrange(leases, '0', '-1')) await queues.raw.zadd(leases, 'XX', 1, member);
}

function fieldsOf(flat: string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string;
  return fields;
}
