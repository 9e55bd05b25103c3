import { expect } from 'chai';
import { free } from '../../src/queue/free.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, recv, redisMs, take as takeAll } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

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

  it('returns receipt, count and times of a delivery', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 12_345 });
    await sendAll(7);
    const [entry] = await queues.raw.xrange(key('queue'), '-', '+');
    for (const attempt of [1, 2]) {
      const { messages, againMs } = await receive(queues, 100);
      expect(againMs).to.equal(undefined);
      const [held, ends] = [
        await queues.raw.zrange(key('held'), '0', '-1'),
        await queues.raw.zrange(key('leases'), '0', '-1', 'WITHSCORES'),
      ];
      const { leaseUntilMs, ...rest } = messages[0]!;
      expect(rest).to.deep.equal({
        saddr: 1,
        id: 7,
        payload: '"7"',
        receipt: held[0],
        attempt,
        sentAtMs: Number(entry?.[0].split('-')[0]),
        traceparent: undefined,
      });
      expect(leaseUntilMs).to.equal(Number(ends[1]));
      await makeDue(queues, 'leases');
    }
  });

  describe('of several', () => {
    const receiveIds = async (max: number): Promise<number[]> =>
      (await takeAll(queues, 100, { max })).map(({ id }) => id);

    it('takes as many as it asks for, what came back first, then what is new', async () => {
      queues = await openQueues();
      await sendAll(1, 2, 3, 4, 5, 6);
      expect(await receiveIds(3)).to.deep.equal([1, 2, 3]);
      await makeDue(queues, 'leases');
      expect(await receiveIds(2)).to.deep.equal([1, 2]);
      expect(await receiveIds(1_000)).to.deep.equal([3, 4, 5, 6]);
      expect(await receiveIds(1_000)).to.deep.equal([]);
      expect(await queues.raw.zcard(key('held'))).to.equal(6);
    });

    it('takes a thousand in order', async () => {
      queues = await openQueues();
      const ids = Array.from({ length: 1_001 }, (_, id) => id);
      const batch = queues.raw.pipeline();
      for (const id of ids) batch.xadd(key('queue'), '*', 'saddr', 1, 'id', id, 'payload', '1');
      await batch.exec();
      expect(await receiveIds(1_000)).to.deep.equal(ids.slice(0, 1_000));
      await makeDue(queues, 'leases');
      expect(await receiveIds(1_000)).to.deep.equal(ids.slice(0, 1_000));
      expect(await receiveIds(1_000)).to.deep.equal([1_000]);
    });

    it('stops once the payloads are 4 MiB long', async () => {
      queues = await openQueues();
      const payload = `"${'x'.repeat(1_000_000)}"`;
      for (let id = 0; id < 30; id++) await send(queues, 100, { saddr: 1, id, payload });
      const sizes = [];
      while ((await queues.raw.zcard(key('held'))) < 30) sizes.push((await receiveIds(1_000)).length);
      expect(sizes).to.deep.equal([5, 5, 5, 5, 5, 5]);
      await makeDue(queues, 'leases');
      expect(await receiveIds(1_000), 'what comes back').to.have.length(5);
    });
  });

  describe('after more leases have ended than a call deals with', () => {
    const take = async (max: number): Promise<number[]> => (await takeAll(queues, 100, { max })).map(({ id }) => id);
    const leaseAll = async (count: number): Promise<string[]> => {
      queues = await openQueues();
      const ids = Array.from({ length: count }, (_, id) => id);
      for (let i = 0; i < count; i += 500) await sendAllAtOnce(ids.slice(i, i + 500));
      for (let i = 0; i < count; i += 1_000) await take(1_000);
      return queues.raw.zrange(key('leases'), '0', '-1');
    };
    const sendAllAtOnce = (ids: number[]): Promise<unknown> =>
      Promise.all(ids.map((id) => send(queues, 100, { saddr: 1, id, payload: '1' })));

    for (const count of [2_000, 3_000])
      it(`gives back the oldest of ${count}, in whatever order their leases ended`, async () => {
        const members = (await leaseAll(count)).sort();
        // the oldest ended last
        const scores = members.flatMap((member, i) => [String(members.length - i), member]);
        await queues.raw.zadd(key('leases'), 'XX', ...scores);
        expect(await take(5)).to.deep.equal([0, 1, 2, 3, 4]);
      });

    it('gives back the oldest of 2,000 that were given back with a delay', async () => {
      const members = (await leaseAll(2_000)).sort();
      await queues.raw.del(key('leases'), key('held'));
      const scores = members.flatMap((member, i) => [String(members.length - i), member.slice(0, 24)]);
      await queues.raw.zadd(key('backed'), ...scores);
      expect(await take(5)).to.deep.equal([0, 1, 2, 3, 4]);
    });
  });

  describe('returns when to poll again', () => {
    it('when the first lease ends', async () => {
      queues = await openQueues();
      await sendAll(1, 2);
      await receive(queues, 100, { visibilityTimeoutMs: 60_000 });
      await receive(queues, 100, { visibilityTimeoutMs: 30_000 });
      const first = Number((await queues.raw.zrange(key('leases'), '0', '0', 'WITHSCORES'))[1]);
      const before = await redisMs(queues);
      const { messages, againMs } = await receive(queues, 100);
      expect(messages).to.deep.equal([]);
      expect(againMs).to.be.within(first - (await redisMs(queues)), first - before);
    });

    it('at once, when it has changed the queue although it found nothing', async () => {
      queues = await openQueues();
      await sendAll(1);
      await recvIds(1);
      await makeDue(queues, 'leases');
      await queues.raw.del(key('queue'));
      expect(await receive(queues, 100), 'leases without a stream').to.deep.equal({ messages: [], againMs: 0 });
      expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: undefined });
      await sendAll(1);
      await recvIds(1);
      await makeDue(queues, 'leases');
      const [[deleted]] = (await queues.raw.xrange(key('queue'), '-', '+')) as [[string, string[]]];
      await queues.raw.xdel(key('queue'), deleted);
      expect(await receive(queues, 100), 'a lease without an entry').to.deep.equal({ messages: [], againMs: 0 });
      await queues.raw.del(key('queue'));
      await queues.raw.xadd(key('queue'), '*', 'saddr', 1, 'id', 1, 'payload', '1');
      const [[entry]] = (await queues.raw.xrange(key('queue'), '-', '+')) as [[string, string[]]];
      await queues.raw.xdel(key('queue'), entry);
      expect(await receive(queues, 100), 'a stream without a group').to.deep.equal({ messages: [], againMs: 0 });
      expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: undefined });
    });

    it('not at all, when nothing will fall due', async () => {
      queues = await openQueues();
      expect((await receive(queues, 100)).againMs).to.equal(undefined);
      await sendAll(1);
      await receive(queues, 100);
      await free(queues, 100, 1);
      expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: undefined });
    });

    for (const [what, name, member] of [
      ['a message with a delay', 'delayed', '1795386797039340:1:1:::1'],
      ['one given back with a delay', 'backed', '1795386796899-0000000000'],
    ] as const)
      it(`when ${what} falls due, if that comes before the end of a lease`, async () => {
        queues = await openQueues();
        await sendAll(1);
        await receive(queues, 100, { visibilityTimeoutMs: 60_000 });
        const due = (await redisMs(queues)) + 30_000;
        await queues.raw.zadd(key(name), due, member);
        expect((await receive(queues, 100)).againMs).to.be.within(due - (await redisMs(queues)), 30_000);
        await queues.raw.zadd(key(name), due + 60_000, member);
        expect((await receive(queues, 100)).againMs).to.be.below(60_001);
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
    await makeDue(queues, 'leases');
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
      await makeDue(queues, 'leases');
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
    await makeDue(queues, 'leases');
    await queues.raw.del(key('queue'));
    expect(await recvIds(1)).to.deep.equal([undefined]);
    expect(await queues.keys()).to.deep.equal(['queues']);
  });

  it('passes over a message that was deleted from the stream by hand', async () => {
    queues = await openQueues();
    await sendAll(1, 2);
    await recvIds(1);
    await makeDue(queues, 'leases');
    const [first] = await queues.raw.xrange(key('queue'), '-', '+', 'COUNT', 1);
    await queues.raw.xdel(key('queue'), first?.[0] as string);
    expect(await recvIds(2)).to.deep.equal([2, undefined]);
    expect(await queues.raw.zcard(key('leases'))).to.equal(1);
  });
});

function fieldsOf(flat: string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string;
  return fields;
}
