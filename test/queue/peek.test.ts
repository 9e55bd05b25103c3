import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { gbye } from '../../src/queue/gbye.js';
import { peek, receiptOf } from '../../src/queue/peek.js';
import type { Seen, State } from '../../src/queue/peek.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe('queue/peek', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const put = (id: number, options: object = {}): Promise<void> =>
    send(queues, 100, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup: false, ...options });
  afterEach(() => queues.close());

  /** Page by page to the end. */
  async function all(state: State, max = 1_000): Promise<Seen[]> {
    const found: Seen[] = [];
    let cursor = '';
    do {
      const page = await peek(queues, 100, state, max, cursor);
      expect(page.messages.length).to.be.at.most(max);
      found.push(...page.messages);
      ({ cursor } = page);
    } while (cursor !== '');
    return found;
  }
  const idsOf = async (state: State, max?: number): Promise<number[]> => (await all(state, max)).map(({ id }) => id);

  it('finds nothing where there is no queue', async () => {
    queues = await openQueues();
    for (const state of ['waiting', 'leased', 'delayed', 'dead'] as const) expect(await all(state)).to.deep.equal([]);
  });

  it('returns what belongs to each state, and changes nothing', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    const before = await redisMs(queues);
    await put(1);
    await recv(queues, 100);
    await makeDue(queues, 'leases');
    await receive(queues, 100); // 1 dies
    await put(2);
    const [leased] = (await receive(queues, 100)).messages;
    await put(3, { delayMs: 60_000 });
    await put(4);
    const dumps = async (): Promise<unknown> =>
      Promise.all((await queues.keys()).map((name) => queues.raw.dump(`${queues.prefix}:${name}`)));
    const stored = await dumps();
    const now = await redisMs(queues);

    const [dead] = await all('dead');
    expect(dead).to.include({ saddr: 1, id: 1, payload: '"1"', attempts: 1, cause: 'max_deliveries' });
    expect(dead?.sentAtMs).to.be.within(before, now);
    expect(dead?.atMs).to.be.within(before, now);
    const [held] = await all('leased');
    expect(held).to.include({ id: 2, attempts: 1, atMs: leased?.leaseUntilMs });
    expect(receiptOf(held!)).to.equal(leased?.receipt);
    const [delayed] = await all('delayed');
    expect(delayed).to.include({ id: 3, payload: '"3"', attempts: 0 });
    expect(delayed!.atMs - delayed!.sentAtMs).to.be.within(60_000, 60_001);
    expect((await all('waiting')).map(({ id, attempts }) => ({ id, attempts }))).to.deep.equal([
      { id: 4, attempts: 0 },
    ]);
    expect(await dumps()).to.deep.equal(stored);
  });

  it('returns the receipt of a message sent with dedup', async () => {
    queues = await openQueues();
    await put(1, { dedup: true });
    const [message] = (await receive(queues, 100)).messages;
    expect(receiptOf((await all('leased'))[0]!)).to.equal(message?.receipt);
  });

  it('counts as waiting what came back, what is due, and what was never delivered', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3, 4]) await put(id);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await gbye(queues, 100);
    await recv(queues, 100); // 1 again
    await recv(queues, 100); // 2 again
    await back(queues, 100, 2, { delayMs: 60_000 });
    await put(5, { delayMs: 60_000 });
    expect(await idsOf('waiting')).to.deep.equal([3, 4]);
    expect((await idsOf('delayed')).sort()).to.deep.equal([2, 5]);
    for (const name of ['leases', 'backed', 'delayed']) await makeDue(queues, name);
    expect(await idsOf('waiting')).to.deep.equal([1, 2, 3, 4, 5]);
    expect(await idsOf('delayed')).to.deep.equal([]);
    expect(await idsOf('leased')).to.deep.equal([]);
  });

  for (const max of [1, 2, 7, 16, 17])
    it(`shows each once, whatever the page: ${max}`, async () => {
      queues = await openQueues();
      for (let id = 0; id < 40; id++) await put(id);
      for (let i = 0; i < 20; i++) await recv(queues, 100);
      await gbye(queues, 100); // 20 with the same score
      for (let id = 40; id < 60; id++) await put(id, { delayMs: 60_000 });
      await makeDue(queues, 'delayed'); // likewise
      expect(await idsOf('waiting', max)).to.deep.equal(Array.from({ length: 60 }, (_, id) => id));
    });

  it('continues after the last message that it returned, although that is gone', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3, 4, 5, 6]) await put(id);
    for (let i = 0; i < 6; i++) await recv(queues, 100);
    await gbye(queues, 100);
    const { cursor } = await peek(queues, 100, 'waiting', 3);
    for (let i = 0; i < 2; i++) await recv(queues, 100); // 1 and 2
    expect((await peek(queues, 100, 'waiting', 10, cursor)).messages.map(({ id }) => id)).to.deep.equal([4, 5, 6]);
  });

  it('does not show what has expired', async () => {
    queues = await openQueues();
    await put(1, { ttlMs: 20 });
    await put(2, { ttlMs: 60_000 });
    const end = (await redisMs(queues)) + 20;
    await until('the first has expired', async () => (await redisMs(queues)) >= end);
    expect(await idsOf('waiting')).to.deep.equal([2]);
    await queues.raw.hset(key('settings'), 'ttl_ms', 10);
    await put(3);
    const later = (await redisMs(queues)) + 10;
    await until('the third has expired too', async () => (await redisMs(queues)) >= later);
    expect(await idsOf('waiting')).to.deep.equal([2]);
  });

  it('passes over what somebody deleted by hand', async () => {
    queues = await openQueues();
    await put(1);
    await recv(queues, 100);
    await queues.raw.del(key('queue'));
    expect(await idsOf('leased')).to.deep.equal([]);
  });
});
