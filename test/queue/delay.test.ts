import { expect } from 'chai';
import type { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { QUEUE_SCRIPTS } from '../../src/queue/queues.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe('queue: a message with a delay', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  afterEach(() => queues.close());

  const later = (id: number, delayMs: number, { payload = `"${id}"`, dedup = false, ttlMs = 0 } = {}): Promise<void> =>
    send(
      queues,
      100,
      { saddr: 1, id, payload },
      { durability: 'primary', dedup, delayMs, ttlMs: ttlMs === 0 ? undefined : ttlMs },
    );

  it('is kept whole outside the stream, with when it was sent and when it is due', async () => {
    queues = await openQueues();
    const before = await redisMs(queues);
    await later(7, 5_000, { payload: '{"a:b": "\\u0000\n"}', ttlMs: 9_000 });
    const after = await redisMs(queues);
    const [member, due] = (await queues.raw.zrange(key('delayed'), '0', '-1', 'WITHSCORES')) as [string, string];
    expect(Number(due)).to.be.within(before + 5_000, after + 5_000);
    expect(member.slice(16)).to.equal(':1:7:9000::{"a:b": "\\u0000\n"}');
    expect(Number(member.slice(0, 13))).to.be.within(before, after);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:counts', '{100}:delayed', '{100}:queue']);
    expect(await queues.raw.xlen(key('queue'))).to.equal(0);
  });

  it('is delivered when it is due, not before, with the time when it was sent', async () => {
    queues = await openQueues();
    const sentAfter = await redisMs(queues);
    await later(7, 150);
    const dueAt = Number((await queues.raw.zrange(key('delayed'), '0', '0', 'WITHSCORES'))[1]);
    for (;;) {
      const asked = await redisMs(queues);
      const { messages, againMs } = await receive(queues, 100);
      const [message] = messages;
      if (message === undefined) {
        expect(asked).to.be.below(dueAt);
        expect(againMs).to.be.within(1, dueAt - asked);
        continue;
      }
      expect(await redisMs(queues)).to.be.at.least(dueAt);
      expect(message).to.include({ id: 7, saddr: 1, payload: '"7"', attempt: 1 });
      expect(message.sentAtMs).to.be.within(sentAfter, dueAt - 150);
      break;
    }
    expect(await free(queues, 100, 7)).to.equal(true);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
  });

  it('joins the queue in the order in which they fall due, those of one moment as they were sent', async () => {
    queues = await openQueues();
    await later(1, 9_000);
    await later(2, 8_000);
    await later(3, 7_000);
    for (const [i, score] of [3, 2, 2].entries()) {
      const members = await queues.raw.zrange(key('delayed'), '0', '-1');
      await queues.raw.zadd(key('delayed'), 'XX', score, members.find((m) => m.includes(`:1:${i + 1}::`)) as string);
    }
    await send(queues, 100, { saddr: 1, id: 4, payload: '4' });
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push((await recv(queues, 100))?.id);
    expect(ids).to.deep.equal([4, 2, 3, 1, undefined]);
  });

  it('stands behind what waits when the first RECV finds it due, and before what is sent after that', async () => {
    queues = await openQueues();
    const plain = (id: number): Promise<void> => send(queues, 100, { saddr: 1, id, payload: `"${id}"` });
    await later(1, 60_000);
    await makeDue(queues, 'delayed');
    await plain(2);
    await plain(3);
    const first = (await receive(queues, 100, { max: 1 })).messages;
    await plain(4);
    const rest = (await receive(queues, 100, { max: 10 })).messages;
    expect([...first, ...rest].map(({ id }) => id)).to.deep.equal([2, 3, 1, 4]);
  });

  it('keeps two messages that are alike in everything, to the microsecond', async () => {
    queues = await openQueues();
    const lua = QUEUE_SCRIPTS.aizumiSend.lua.replace("redis.call('TIME')", "{ '1795386797', '039340' }");
    const keys = ['queue', 'delayed', 'settings', 'dead'].map(key);
    const args = [10, 1, 7, '"a"', 60_000, '', '', 1_000_000, 0, 1];
    for (let i = 0; i < 3; i++) await queues.raw.eval(lua, 4, ...keys, ...args);
    expect(await queues.raw.zrange(key('delayed'), '0', '-1')).to.deep.equal(
      ['1795386797039340', '1795386797039341', '1795386797039342'].map((stamp) => `${stamp}:1:7:::"a"`),
    );
  });

  it('falls due with as many others as a RECV asks for', async () => {
    queues = await openQueues();
    const ids = Array.from({ length: 500 }, (_, id) => id);
    await Promise.all(ids.map((id) => later(id, 60_000)));
    await makeDue(queues, 'delayed');
    expect((await receive(queues, 100, { max: 1_000 })).messages.map(({ id }) => id)).to.deep.equal(ids);
  });

  it('falls due a part at a time when it is long', async () => {
    queues = await openQueues();
    const payload = `"${'x'.repeat(1_000_000)}"`;
    for (let id = 0; id < 40; id++) await later(id, 60_000, { payload });
    await makeDue(queues, 'delayed');
    await recv(queues, 100);
    // the first call finds that there is no room for one so large; the second takes it
    expect(await queues.raw.zcard(key('delayed'))).to.equal(38);
  });

  it('creates the stream again that somebody deleted by hand', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await later(2, 60_000);
    await recv(queues, 100);
    await queues.raw.del(key('queue'));
    await makeDue(queues, 'leases');
    await makeDue(queues, 'delayed');
    expect(await recv(queues, 100)).to.include({ id: 2 });
    expect(await free(queues, 100, 2)).to.equal(true);
    expect(await recv(queues, 100)).to.equal(undefined);
  });

  it('falls due in any number', async () => {
    queues = await openQueues();
    const ids = Array.from({ length: 2_500 }, (_, id) => id);
    await Promise.all(ids.map((id) => later(id, 60_000)));
    await makeDue(queues, 'delayed');
    const received = new Set<number>();
    for (;;) {
      const { messages, againMs } = await receive(queues, 100, { max: 7 });
      if (againMs !== undefined && againMs > 0) break;
      for (const { id } of messages) received.add(id);
    }
    expect(received.size).to.equal(2_500);
  });

  it('counts for the length of the queue', async () => {
    queues = await openQueues({ maxQueueLength: 3 });
    await later(1, 60_000);
    await later(2, 60_000, { dedup: true });
    await send(queues, 100, { saddr: 1, id: 3, payload: '3' });
    for (const attempt of [
      later(4, 60_000),
      later(5, 60_000, { dedup: true }),
      send(queues, 100, { saddr: 1, id: 6, payload: '6' }),
    ]) {
      const refusal = await attempt.catch((error: unknown) => error);
      expect(refusal).to.have.property('reason', 'queue_full');
    }
    expect(await queues.raw.zcard(key('delayed'))).to.equal(2);
  });

  it('counts in what a worker learns of the length along with a plain SEND', async () => {
    // so high that the worker would not ask a script, whatever it knows of it
    queues = await openQueues({ maxQueueLength: 100_000 });
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    const fill = "for i = 1, 100000 do redis.call('ZADD', KEYS[1], 9e12, '1795386797039340:1:' .. i .. ':::1') end";
    await queues.raw.eval(fill, 1, key('delayed'));
    await until('the worker has looked', async () =>
      send(queues, 100, { saddr: 1, id: 1, payload: '1' }).then(
        () => false,
        (error: unknown) => (error as BrokerError).reason === 'queue_full',
      ),
    );
  });

  it('is confirmed by as many nodes as durability asks for, with dedup and without', async () => {
    queues = await openQueues();
    const levels: string[] = [];
    const commit = queues.durable.commit.bind(queues.durable);
    queues.durable.commit = (key, level, write) => {
      levels.push(level);
      return commit(key, level, write);
    };
    const message = { saddr: 1, id: 7, payload: '1' };
    await send(queues, 100, message, { durability: 'quorum', dedup: false, delayMs: 60_000 });
    await send(queues, 100, message, { durability: 'all', dedup: true, delayMs: 60_000 });
    await send(queues, 100, message, { durability: 'quorum', dedup: false, ttlMs: 60_000 });
    expect(levels).to.deep.equal(['quorum', 'all', 'quorum']);
    expect(await queues.raw.zcard(key('delayed'))).to.equal(2);
  });

  it('is left where it is by GBYE, which keeps the queue for it', async () => {
    queues = await openQueues();
    await later(7, 60_000);
    await gbye(queues, 100);
    expect(await queues.keys())
      .to.include('{100}:delayed')
      .and.include('queues');
    await makeDue(queues, 'delayed');
    expect(await recv(queues, 100)).to.include({ id: 7 });
  });

  describe('that was sent with dedup', () => {
    const refusal = (sent: Promise<void>): Promise<unknown> =>
      sent.then(
        () => undefined,
        (error: unknown) => (error as BrokerError).reason,
      );

    async function expectRemembered(): Promise<void> {
      const count = async (): Promise<number> =>
        (await queues.raw.xlen(key('queue'))) + (await queues.raw.zcard(key('delayed')));
      const before = await count();
      await later(7, 0, { dedup: true });
      await later(7, 90_000, { dedup: true, ttlMs: 5 });
      expect(await refusal(later(7, 0, { dedup: true, payload: '"other"' }))).to.equal('id_conflict');
      expect(await count()).to.equal(before);
    }

    it('is remembered while it is delayed, when it waits, and after its end', async () => {
      queues = await openQueues();
      await later(7, 60_000, { dedup: true, ttlMs: 3_600_000 });
      await expectRemembered();
      await makeDue(queues, 'delayed');
      await expectRemembered();
      expect(await recv(queues, 100)).to.include({ id: 7 });
      const [entry] = await queues.raw.xrange(key('queue'), '-', '+');
      expect(entry?.[1].slice(6, 10)).to.deep.equal(['once', '1', 'ttl', '3600000']);
      await expectRemembered();
      expect(await free(queues, 100, 7)).to.equal(true);
      await expectRemembered();
      expect(await recv(queues, 100)).to.equal(undefined);
      expect(await queues.raw.hlen(key('seen'))).to.equal(0);
    });

    it('does not count when somebody deleted it by hand', async () => {
      queues = await openQueues();
      await later(7, 60_000, { dedup: true });
      await queues.raw.del(key('delayed'));
      await later(7, 60_000, { dedup: true });
      expect(await queues.raw.zcard(key('delayed'))).to.equal(1);
    });
  });
});
