import { expect } from 'chai';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
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
