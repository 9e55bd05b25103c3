import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { drop } from '../../src/queue/drop.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import { keep } from '../../src/queue/keep.js';
import { move } from '../../src/queue/move.js';
import { peek } from '../../src/queue/peek.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { DROP_KEYS, makeDue, openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

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

  it('deletes what waits: never delivered, come back and due; not what is leased', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3]) await put(id);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await makeDue(queues, 'leases');
    await recv(queues, 100); // 1 is leased, 2 has come back
    await put(4, { delayMs: 60_000 });
    await makeDue(queues, 'delayed');
    expect(await drop(queues, 100, 'waiting', undefined, 1_000)).to.equal(3);
    expect(await idsOf('leased')).to.deep.equal([1]);
    expect(await queues.raw.xlen(key('queue'))).to.equal(1);
    expect(await queues.raw.zcard(key('leases'))).to.equal(1);
    expect(await queues.raw.zcard(key('held'))).to.equal(1);
    expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(1);
    expect(await drop(queues, 100, 'waiting', undefined, 1_000)).to.equal(0);
  });

  it('deletes what is delayed, sent or given back so, and nothing else', async () => {
    queues = await openQueues();
    for (const id of [1, 2]) await put(id);
    await recv(queues, 100);
    await back(queues, 100, 1, { delayMs: 60_000 });
    await put(3, { delayMs: 60_000 });
    expect(await drop(queues, 100, 'delayed', undefined, 1_000)).to.equal(2);
    expect(await idsOf('waiting')).to.deep.equal([2]);
    expect((await queues.keys()).filter((name) => /delayed|backed/.test(name))).to.deep.equal([]);
  });

  it('deletes the dead, by id or all, and leaves no empty stream', async () => {
    queues = await openQueues({ maxDeliveries: 1 });
    await kill(1, 2, 3);
    expect(await drop(queues, 100, 'dead', [2, 9], 1_000)).to.equal(1);
    expect(await idsOf('dead')).to.deep.equal([1, 3]);
    expect(await drop(queues, 100, 'dead', undefined, 1_000)).to.equal(2);
    expect(await queues.keys()).not.to.include('{100}:dead');
  });

  it('deletes no more than it may, and finds ids wherever they are', async () => {
    queues = await openQueues();
    for (let id = 0; id < 30; id++) await put(id);
    expect(await drop(queues, 100, 'waiting', [29], 2)).to.equal(1);
    expect(await drop(queues, 100, 'waiting', undefined, 10)).to.equal(10);
    expect(await idsOf('waiting')).to.deep.equal(Array.from({ length: 19 }, (_, i) => i + 10));
  });

  for (const [state, make] of [
    ['waiting', () => put(1, { dedup: true })],
    ['delayed', () => put(1, { dedup: true, delayMs: 60_000 })],
  ] as const)
    it(`remembers the id of a message sent once, ${state}: a repetition adds nothing`, async () => {
      queues = await openQueues();
      await make();
      expect(await drop(queues, 100, state, undefined, 1_000)).to.equal(1);
      await put(1, { dedup: true });
      expect(await queues.raw.xlen(key('queue'))).to.equal(0);
      expect(await queues.keys()).not.to.include('{100}:seen');
    });

  it('leaves alone what somebody received, or kept, after it was found', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3]) await put(id);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await makeDue(queues, 'leases');
    const found = (await peek(queues, 100, 'waiting', 10)).messages.map(({ at }) => at);
    expect(found).to.have.length(3);
    await keep(queues, 100, 2, 60_000);
    for (let i = 0; i < 2; i++) await recv(queues, 100); // 1 again, and 3
    const args = [...DROP_KEYS.map(key), JSON.stringify(found), 1_000] as unknown as Parameters<
      typeof queues.redis.aizumiDrop
    >;
    expect(await queues.redis.aizumiDrop(...args)).to.equal(0);
    expect(await idsOf('leased')).to.have.members([1, 2, 3]);
  });

  it('leaves nothing that GBYE would not remove', async () => {
    queues = await openQueues();
    await helo(queues, 100);
    for (const id of [1, 2]) await put(id);
    await recv(queues, 100);
    await gbye(queues, 100);
    await drop(queues, 100, 'waiting', undefined, 1_000);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
  });
});

describe('queue/move', () => {
  afterEach(() => queues.close());

  it('puts dead messages back, with payload, sender, id and time as they were and counted anew', async () => {
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
