// What has expired, and nobody has come upon, takes no room: whichever way it came into the queue, and whichever limit it fills.
import { expect } from 'chai';
import { SLICE_MESSAGES } from '../../src/config/limits.js';
import { back } from '../../src/queue/back.js';
import { stat } from '../../src/queue/broker-stat.js';
import { sweep } from '../../src/queue/expire.js';
import { helo } from '../../src/queue/helo.js';
import { report } from '../../src/queue/list.js';
import { move } from '../../src/queue/move.js';
import { peek } from '../../src/queue/peek.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs, scriptCalls } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

const HOUR_MS = 3_600_000;
const LENGTH = 5;

describe('queue: what has expired', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  afterEach(() => queues.close());

  interface How {
    dedup?: boolean;
    delayMs?: number;
    ttlMs?: number;
    payload?: string;
    client?: string;
  }
  const put = (id: number, { payload = `"${id}"`, client, ...options }: How = {}): Promise<void> =>
    send(queues, 100, { saddr: 1, id, payload }, { durability: 'primary', dedup: false, ...options }, client);
  const putAll = async (count: number, how: How): Promise<void> => {
    for (let id = 0; id < count; id++) await put(id, how);
  };
  const pass = async (ms: number): Promise<void> => {
    const end = (await redisMs(queues)) + ms;
    await until('the time has passed', async () => (await redisMs(queues)) >= end);
  };
  const expired = async (): Promise<number> => Number(await queues.raw.hget(key('counts'), 'expired'));
  const reasonOf = (sent: Promise<void>): Promise<unknown> =>
    sent.then(
      () => 'sent',
      (error: unknown) => (error as { reason: unknown }).reason,
    );
  const lengthOf = async (): Promise<number> =>
    (await queues.raw.xlen(key('queue'))) + (await queues.raw.zcard(key('delayed')));

  /** Each fills the queue with LENGTH messages that are over. */
  const ways: Record<string, () => Promise<unknown>> = {
    'sent with a time to live': () => putAll(LENGTH, { ttlMs: 1 }),
    'sent once': () => putAll(LENGTH, { ttlMs: 1, dedup: true }),
    'with a delay that is longer than its life': () => putAll(LENGTH, { ttlMs: 1, delayMs: HOUR_MS }),
    'sent once with such a delay': () => putAll(LENGTH, { ttlMs: 1, delayMs: HOUR_MS, dedup: true }),
    'by the time to live of its queue': () => helo(queues, 100, { ttl_ms: 1 }).then(() => putAll(LENGTH, {})),
    'received, and come back': async () => {
      await helo(queues, 100, { ttl_ms: HOUR_MS });
      await putAll(LENGTH, {});
      await receive(queues, 100, { max: LENGTH });
      await makeDue(queues, 'leases');
      await helo(queues, 100, { ttl_ms: 1 });
    },
    'given back with a delay': async () => {
      await helo(queues, 100, { ttl_ms: HOUR_MS });
      await putAll(LENGTH, {});
      for (const { id } of (await receive(queues, 100, { max: LENGTH })).messages)
        await back(queues, 100, id, { delayMs: HOUR_MS });
      await helo(queues, 100, { ttl_ms: 1 });
    },
  };

  for (const [way, fill] of Object.entries(ways))
    for (const dedup of [false, true])
      it(`leaves room, ${way}, for a SEND ${dedup ? 'with' : 'without'} dedup`, async () => {
        queues = await openQueues({ maxQueueLength: LENGTH });
        await fill();
        await pass(2);
        expect(await reasonOf(put(99, { dedup }))).to.equal('sent');
        expect(await lengthOf()).to.equal(1);
        expect(await expired()).to.equal(LENGTH);
      });

  it('leaves room for another in the bytes of the queue', async () => {
    queues = await openQueues({ maxQueueBytes: 100_000 });
    const payload = `"${'x'.repeat(10_000)}"`;
    let sent = 0;
    while ((await reasonOf(put(sent, { payload }))) === 'sent') sent++;
    expect(sent).to.be.within(5, 9);
    await helo(queues, 100, { ttl_ms: 1 });
    // a worker remembers for 100 ms that it was full
    await until('there is room', async () => (await reasonOf(put(99, { payload, ttlMs: HOUR_MS }))) === 'sent');
    expect(await queues.raw.xlen(key('queue'))).to.equal(1);
  });

  it('leaves room in the bytes of its client, with one of the next SENDs', async () => {
    queues = await openQueues({ maxClientBytes: 50_000 });
    const payload = `"${'x'.repeat(10_000)}"`;
    const mine = { payload, client: 'a' };
    await putAll(4, { ...mine, ttlMs: 1 });
    await pass(2);
    await until('it may send again', async () => (await reasonOf(put(10, mine))) === 'sent');
    expect(await expired()).to.be.above(0);
  });

  it('leaves room for dead messages that MOVE puts back', async () => {
    queues = await openQueues({ maxQueueLength: LENGTH, maxDeliveries: 1 });
    await putAll(2, {});
    await receive(queues, 100, { max: 2 });
    await makeDue(queues, 'leases');
    await receive(queues, 100);
    await putAll(LENGTH - 1, { ttlMs: 1 });
    await pass(2);
    expect(await move(queues, 100, undefined, 1_000)).to.equal(2);
    expect(await lengthOf()).to.equal(2);
  });

  it('is found wherever it is, and what lives stays', async () => {
    queues = await openQueues({ maxQueueLength: 300 });
    for (let id = 0; id < 300; id++) await put(id, id === 222 || id === 5 ? { ttlMs: 1 } : { ttlMs: HOUR_MS });
    await pass(2);
    expect(await reasonOf(put(300))).to.equal('sent');
    expect(await reasonOf(put(301))).to.equal('sent');
    expect(await reasonOf(put(302))).to.equal('queue_full');
    const ids = (await peek(queues, 100, 'waiting', 1_000)).messages.map(({ id }) => id);
    expect(ids).to.deep.equal([...Array.from({ length: 302 }, (_, id) => id).filter((id) => id !== 222 && id !== 5)]);
  });

  it('are searched for a bounded part at a time, once for all callers, from where the last search stopped', async () => {
    const count = 3_000;
    queues = await openQueues({ maxQueueLength: count });
    await Promise.all(Array.from({ length: count - 1 }, (_, id) => put(id, { ttlMs: HOUR_MS })));
    await put(count, { ttlMs: 1 });
    await pass(2);
    const slices = Math.ceil(count / SLICE_MESSAGES);
    let calls = 0;
    let rounds = 0;
    await until('the last one is found', async () => {
      await queues.raw.config('RESETSTAT');
      const reasons = await Promise.all(Array.from({ length: 10 }, (_, id) => reasonOf(put(9_000 + id))));
      // ten SENDs, some of them again
      const more = (await scriptCalls(queues)) - 20;
      expect(more).to.be.at.most(20);
      if (more > 0) calls += more;
      rounds++;
      return reasons.includes('sent');
    });
    expect(rounds).to.be.at.least(Math.floor(slices / 16));
    expect(calls).to.be.at.most(2 * slices);
  });

  it('are not searched for again and again where there are none', async () => {
    queues = await openQueues({ maxQueueLength: 3 });
    await putAll(3, {});
    const before = performance.now();
    expect(await sweep(queues, 100)).to.equal(0);
    const rests = queues.sweeps.of(100).restsUntilMs;
    expect(rests - before).to.be.at.least(100);
    await queues.raw.config('RESETSTAT');
    expect(await sweep(queues, 100)).to.equal(0);
    if (performance.now() < rests) expect(await scriptCalls(queues)).to.equal(0);
  });

  it('is not counted by STAT and GET /queues/:address', async () => {
    for (const delayMs of [0, HOUR_MS]) {
      queues = await openQueues();
      await putAll(LENGTH, { ttlMs: 1, delayMs });
      await put(99);
      await pass(2);
      const { queue } = await stat(queues, 100);
      expect(queue).to.include({ waiting: 1, delayed: 0, expired: LENGTH });
      await queues.raw.del(key('queue'), key('delayed'), key('counts'));
      queues.lengths.forget(100);
      await putAll(LENGTH, { ttlMs: 1, delayMs });
      await pass(2);
      expect(await report(queues, 100)).to.include({ waiting: 0, delayed: 0, expired: LENGTH });
      queues.close();
    }
  });

  it('stays while somebody holds it: its receiver may still free it', async () => {
    queues = await openQueues({ maxQueueLength: 2 });
    await putAll(2, {});
    await receive(queues, 100, { max: 1 });
    await helo(queues, 100, { ttl_ms: 1 });
    await pass(2);
    expect(await reasonOf(put(7, { ttlMs: HOUR_MS }))).to.equal('sent');
    expect(await reasonOf(put(8))).to.equal('queue_full');
    expect((await peek(queues, 100, 'leased', 10)).messages.map(({ id }) => id)).to.deep.equal([0]);
  });

  it('is left alone when its queue has given it more time since it was found', async () => {
    queues = await openQueues();
    await helo(queues, 100, { ttl_ms: 1 });
    await put(1);
    await pass(2);
    const aizumiDrop = queues.redis.aizumiDrop.bind(queues.redis);
    queues.redis.aizumiDrop = async (...args) => {
      await helo(queues, 100, { ttl_ms: HOUR_MS });
      return aizumiDrop(...args);
    };
    expect(await sweep(queues, 100)).to.equal(0);
    expect((await peek(queues, 100, 'waiting', 10)).messages).to.have.length(1);
  });
});
