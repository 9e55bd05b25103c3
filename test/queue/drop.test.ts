import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { drop, purge } from '../../src/queue/drop.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import { keep } from '../../src/queue/keep.js';
import { messageKeys } from '../../src/queue/message-keys.js';
import { move } from '../../src/queue/move.js';
import { peek } from '../../src/queue/peek.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

let queues: TestQueues;
const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
const put = (id: number, options: object = {}): Promise<void> =>
  send(queues, 100, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup: false, ...options });
const idsOf = async (state: 'waiting' | 'leased' | 'delayed' | 'dead'): Promise<number[]> =>
  (await peek(queues, 100, state, 1_000)).messages.map(({ id }) => id);

/** The queue's messages die, as far as they were delivered once. */
async function kill(...ids: number[]): Promise<void> {
  for (const id of ids) await put(id);
  await receive(queues, 100, { max: ids.length });
  await makeDue(queues, 'leases');
  await receive(queues, 100);
}

describe('queue/drop', () => {
  afterEach(() => queues.close());

  it('deletes waiting messages: never delivered, given back, and due; not leased ones', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3]) await put(id);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await makeDue(queues, 'leases');
    await recv(queues, 100); // 1 is leased, 2 has come back
    await put(4, { delayMs: 60_000 });
    await makeDue(queues, 'delayed');
    expect((await purge(queues, 100, 'waiting')).count).to.equal(3);
    expect(await idsOf('leased')).to.deep.equal([1]);
    expect(await queues.raw.xlen(key('queue'))).to.equal(1);
    expect(await queues.raw.zcard(key('leases'))).to.equal(1);
    expect(await queues.raw.zcard(key('held'))).to.equal(1);
    expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(1);
    expect((await purge(queues, 100, 'waiting')).count).to.equal(0);
  });

  it('deletes what is delayed, sent or given back so, and nothing else', async () => {
    queues = await openQueues();
    for (const id of [1, 2]) await put(id);
    await recv(queues, 100);
    await back(queues, 100, 1, { delayMs: 60_000 });
    await put(3, { delayMs: 60_000 });
    expect((await purge(queues, 100, 'delayed')).count).to.equal(2);
    expect(await idsOf('waiting')).to.deep.equal([2]);
    expect((await queues.keys()).filter((name) => /delayed|backed/.test(name))).to.deep.equal([]);
  });

  it('deletes the dead, by id or all, and leaves no empty stream', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    await kill(1, 2, 3);
    expect(await drop(queues, 100, 'dead', [2, 9], 1_000)).to.equal(1);
    expect(await idsOf('dead')).to.deep.equal([1, 3]);
    expect((await purge(queues, 100, 'dead')).count).to.equal(2);
    expect(await queues.keys()).not.to.include('{100}:dead');
  });

  it('deletes no more than it may, and finds ids wherever they are', async () => {
    queues = await openQueues();
    for (let id = 0; id < 30; id++) await put(id);
    expect(await drop(queues, 100, 'waiting', [29], 2)).to.equal(1);
    const ids = Array.from({ length: 29 }, (_, id) => id);
    expect(await drop(queues, 100, 'waiting', ids, 10)).to.equal(10);
    expect(await idsOf('waiting')).to.deep.equal(ids.slice(10));
  });

  for (const [state, make] of [
    ['waiting', () => put(1, { dedup: true })],
    ['delayed', () => put(1, { dedup: true, delayMs: 60_000 })],
  ] as const)
    it(`remembers the id of a message sent once, ${state}: a repetition adds nothing`, async () => {
      queues = await openQueues();
      await make();
      expect((await purge(queues, 100, state)).count).to.equal(1);
      await put(1, { dedup: true });
      expect(await queues.raw.xlen(key('queue'))).to.equal(0);
      expect(await queues.keys()).not.to.include('{100}:seen');
    });

  it('leaves alone messages that were received or kept after they were found', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3]) await put(id);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await makeDue(queues, 'leases');
    const found = (await peek(queues, 100, 'waiting', 10)).messages.map(({ at }) => at);
    expect(found).to.have.length(3);
    await keep(queues, 100, 2, 60_000);
    for (let i = 0; i < 2; i++) await recv(queues, 100); // 1 again, and 3
    const keys = messageKeys(queues.prefix, 100);
    expect(await queues.redis.aizumiDrop(...keys, JSON.stringify(found), 1_000, 0)).to.deep.equal([0, 0]);
    expect(await idsOf('leased')).to.have.members([1, 2, 3]);
  });

  describe('of all', () => {
    const fill = async (count: number, options: object = {}): Promise<void> => {
      for (let first = 0; first < count; first += 500)
        await Promise.all(Array.from({ length: Math.min(500, count - first) }, (_, i) => put(first + i, options)));
    };
    /** Something happens before the second slice is deleted. */
    const meanwhile = (act: () => Promise<unknown>): void => {
      const aizumiDrop = queues.redis.aizumiDrop.bind(queues.redis);
      let slices = 0;
      queues.redis.aizumiDrop = async (...args) => {
        if (++slices === 2) await act();
        return aizumiDrop(...args);
      };
    };

    it('deletes thousands, whatever state they are in', async () => {
      queues = await openQueues({ maxDeliveries: 1 });
      await kill(...Array.from({ length: 1_100 }, (_, id) => id));
      await until('all are dead', async () => {
        await receive(queues, 100);
        return (await queues.raw.xlen(key('queue'))) === 0;
      });
      await fill(2_500);
      await fill(1_200, { delayMs: 60_000 });
      for (const [state, count] of Object.entries({ waiting: 2_500, delayed: 1_200, dead: 1_100 }))
        expect(await purge(queues, 100, state as 'waiting')).to.deep.equal({ count, more: false });
      expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
    });

    it('leaves what arrives while it is at it: sent, sent with a delay, dead, put back by MOVE', async () => {
      queues = await openQueues({ maxDeliveries: 1 });
      await kill(9_001);
      await fill(200);
      meanwhile(async () => {
        await put(9_000);
        await move(queues, 100, undefined, 1);
      });
      expect(await purge(queues, 100, 'waiting')).to.deep.equal({ count: 200, more: false });
      expect(await idsOf('waiting')).to.deep.equal([9_000, 9_001]);
      queues.close();
      queues = await openQueues();
      await fill(200, { delayMs: 60_000 });
      meanwhile(() => put(9_000, { delayMs: 120_000 }));
      expect(await purge(queues, 100, 'delayed')).to.deep.equal({ count: 200, more: false });
      expect(await idsOf('delayed')).to.deep.equal([9_000]);
      queues.close();
      queues = await openQueues({ maxDeliveries: 1 });
      await kill(...Array.from({ length: 100 }, (_, id) => id));
      await until('all are dead', async () => {
        await receive(queues, 100);
        return (await queues.raw.xlen(key('queue'))) === 0;
      });
      expect((await idsOf('dead')).length).to.equal(100);
      meanwhile(() => kill(9_000));
      expect(await purge(queues, 100, 'dead')).to.deep.equal({ count: 100, more: false });
      expect(await idsOf('dead')).to.deep.equal([9_000]);
    });

    it('leaves messages that were sent since, also when they are received and given back', async () => {
      queues = await openQueues();
      await fill(150);
      await receive(queues, 100, { max: 150 });
      await gbye(queues, 100);
      meanwhile(async () => {
        await put(9_000);
        while ((await recv(queues, 100))?.id !== 9_000);
        await gbye(queues, 100);
      });
      await purge(queues, 100, 'waiting');
      expect(await idsOf('waiting')).to.include(9_000);
    });

    it('leaves alone what is leased', async () => {
      queues = await openQueues();
      await fill(300);
      await receive(queues, 100, { max: 100 });
      expect(await purge(queues, 100, 'waiting')).to.deep.equal({ count: 200, more: false });
      expect(await idsOf('leased')).to.have.length(100);
    });

    it('throws away what has expired, and counts it as such', async () => {
      queues = await openQueues();
      for (const delayMs of [0, 60_000]) for (const id of [1, 2]) await put(id, { delayMs, ttlMs: 1 });
      await put(3);
      const end = (await redisMs(queues)) + 2;
      await until('its time is over', async () => (await redisMs(queues)) >= end);
      expect(await purge(queues, 100, 'delayed')).to.deep.equal({ count: 0, more: false });
      expect(await purge(queues, 100, 'waiting')).to.deep.equal({ count: 1, more: false });
      expect(await queues.keys()).to.deep.equal(['queues', '{100}:counts', '{100}:queue']);
      expect(await queues.raw.hget(key('counts'), 'expired')).to.equal('4');
    });

    it('reports that there are more when its time is up, and goes on when it is called again', async () => {
      queues = await openQueues();
      await fill(100);
      expect(await purge(queues, 100, 'waiting', undefined, 0)).to.deep.equal({ count: 64, more: true });
      expect(await purge(queues, 100, 'waiting', undefined, 0)).to.deep.equal({ count: 36, more: false });
    });

    it('stops when its client has left, and says how many are gone', async () => {
      queues = await openQueues();
      await fill(300);
      const asker = { who: 'a', hasLeft: false };
      meanwhile(() => Promise.resolve((asker.hasLeft = true)));
      expect(await purge(queues, 100, 'waiting', asker)).to.deep.equal({ count: 128, more: true });
      expect(await idsOf('waiting')).to.have.length(172);
    });

    it('lets others have their turn', async () => {
      queues = await openQueues();
      await fill(2_000);
      let isDone = false;
      const purged = purge(queues, 100, 'waiting', { who: 'a', hasLeft: false }).finally(() => (isDone = true));
      const other = { who: 'b', hasLeft: false };
      await peek(queues, 100, 'waiting', 64, '', other);
      expect(isDone).to.equal(false);
      expect(await purged).to.deep.equal({ count: 2_000, more: false });
    });

    it('gives its client, and the queue, their bytes back at once', async () => {
      queues = await openQueues({ maxClientBytes: 50_000, maxQueueBytes: 100_000 });
      const message = { saddr: 1, id: 1, payload: `"${'x'.repeat(10_000)}"` };
      const sendAs = (client: string): Promise<unknown> =>
        send(queues, 100, message, undefined, client).then(
          () => 'sent',
          (error: unknown) => (error as { reason: unknown }).reason,
        );
      for (const client of ['a', 'b']) while ((await sendAs(client)) === 'sent');
      expect((await purge(queues, 100, 'waiting')).count).to.be.above(4);
      for (const client of ['a', 'b']) expect(await sendAs(client), client).to.equal('sent');
    });

    it('can be repeated after part of it was done', async () => {
      queues = await openQueues();
      await fill(200);
      meanwhile(() => Promise.reject(new Error('Connection is closed.')));
      const failure = await purge(queues, 100, 'waiting').catch((error: unknown) => error);
      expect(failure).to.include({ outcome: 'unknown' });
      queues.close();
    });
  });

  it('leaves nothing that GBYE would not remove', async () => {
    queues = await openQueues();
    await helo(queues, 100);
    for (const id of [1, 2]) await put(id);
    await recv(queues, 100);
    await gbye(queues, 100);
    await purge(queues, 100, 'waiting');
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
  });
});

describe('queue/move', () => {
  afterEach(() => queues.close());

  it('moves dead messages back, with their payload, sender, id and time, and counts their deliveries from 1', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    await kill(1, 2);
    const before = (await peek(queues, 100, 'dead', 10)).messages;
    expect(await move(queues, 100, undefined, 1_000)).to.equal(2);
    expect(await queues.keys()).not.to.include('{100}:dead');
    const { messages } = await receive(queues, 100, { max: 10 });
    expect(messages.map(({ saddr, id, payload, sentAtMs, attempt }) => [saddr, id, payload, sentAtMs, attempt])).to.eql(
      before.map(({ saddr, id, payload, sentAtMs }) => [saddr, id, payload, sentAtMs, 1]),
    );
  });

  it('takes only the ids that are asked for', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    await kill(1, 2, 3);
    expect(await move(queues, 100, [3, 3, 9], 1_000)).to.equal(1);
    expect(await idsOf('dead')).to.deep.equal([1, 2]);
    expect(await idsOf('waiting')).to.deep.equal([3]);
  });

  it('does not overfill the queue, by its own limit too; delayed messages count', async () => {
    queues = await openQueues({ maxDeliveries: 1, maxQueueLength: 4 });
    await helo(queues, 100, { max_queue_length: 3 });
    await kill(1, 2, 3);
    await put(4, { delayMs: 60_000 });
    expect(await move(queues, 100, undefined, 1_000)).to.equal(2);
    expect(await idsOf('dead')).to.deep.equal([3]);
    expect(await move(queues, 100, undefined, 1_000)).to.equal(0);
    await helo(queues, 100, { max_queue_length: null });
    expect(await move(queues, 100, undefined, 1_000)).to.equal(1);
  });

  it('moves no more than it may', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    await kill(1, 2, 3);
    expect(await move(queues, 100, undefined, 2)).to.equal(2);
    expect(await idsOf('dead')).to.deep.equal([3]);
  });
});
