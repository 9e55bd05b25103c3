import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import { report } from '../../src/queue/list.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/gbye', () => {
  let queues: TestQueues;
  afterEach(() => queues.close());

  it('gives back at once what the receiver holds, in the order of the queue', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3]) await send(queues, 100, { saddr: 1, id, payload: '1' });
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    await gbye(queues, 100);
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push((await recv(queues, 100))?.id);
    expect(ids).to.deep.equal([1, 2, 3]);
  });

  it('ends what the receiver holds: it can free nothing afterwards', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await recv(queues, 100);
    await gbye(queues, 100);
    expect(await free(queues, 100, 1)).to.equal(false);
  });

  it('gives back more than one script call does', async () => {
    queues = await openQueues();
    await Promise.all(Array.from({ length: 2_500 }, (_, id) => send(queues, 100, { saddr: 1, id, payload: '1' })));
    await Promise.all(Array.from({ length: 2_500 }, () => recv(queues, 100)));
    await gbye(queues, 100);
    expect(await queues.raw.zcard(`${queues.prefix}:{100}:held`)).to.equal(0);
    expect(await queues.raw.zcount(`${queues.prefix}:{100}:leases`, '(0', '+inf')).to.equal(0);
    expect((await recv(queues, 100))?.id).to.be.a('number');
  });

  it('clears what a script that stopped half-way has left in `seen`', async () => {
    queues = await openQueues();
    await helo(queues, 100);
    await queues.raw.hset(`${queues.prefix}:{100}:seen`, '1:7', `${'a'.repeat(40)}:1795386796899-0`);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
  });

  it('leaves no key of an empty queue, and is harmless when repeated', async () => {
    queues = await openQueues();
    await helo(queues, 100);
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await recv(queues, 100);
    await free(queues, 100, 1);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
  });

  it('keeps messages that wait, and dead ones', async () => {
    queues = await openQueues({ maxDeliveries: 1, visibilityTimeoutMs: 0 });
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
    await recv(queues, 100);
    expect(await recv(queues, 100)).to.equal(undefined);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:dead', '{100}:queue']);
  });

  it('leaves nothing of settings, counts and the sample of an empty queue; keeps them while there are messages', async () => {
    queues = await openQueues();
    await helo(queues, 100, { max_deliveries: 3 });
    await queues.raw.hset(`${queues.prefix}:{100}:counts`, 'expired', 7);
    await report(queues, 100);
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    const before = await queues.keys();
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal(before);
    expect(before).to.include.members(['{100}:counts', '{100}:sample', '{100}:settings']);
    await recv(queues, 100);
    await free(queues, 100, 1);
    await gbye(queues, 100);
    expect(await queues.keys()).to.deep.equal([]);
  });

  it('does not disturb what was sent or given back with a delay', async () => {
    queues = await openQueues();
    const options = { durability: 'primary', dedup: false, delayMs: 60_000 } as const;
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' }, options);
    await gbye(queues, 100);
    expect(await queues.keys()).to.include.members(['queues', '{100}:delayed']);
    await send(queues, 100, { saddr: 1, id: 2, payload: '1' });
    await recv(queues, 100);
    await back(queues, 100, 2, { delayMs: 60_000 });
    await gbye(queues, 100);
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await queues.raw.zcard(`${queues.prefix}:{100}:backed`)).to.equal(1);
    expect(await queues.raw.zcard(`${queues.prefix}:{100}:delayed`)).to.equal(1);
  });

  it('never leaves a queue out of the register, however SENDs and GBYEs meet', async () => {
    queues = await openQueues();
    for (let round = 0; round < 200; round++) {
      await Promise.all([gbye(queues, 100), send(queues, 100, { saddr: 1, id: 1, payload: '1' }), gbye(queues, 100)]);
      expect(await queues.raw.zscore(`${queues.prefix}:queues`, '100')).to.equal('100');
      await recv(queues, 100);
      await free(queues, 100, 1);
    }
  });
});
