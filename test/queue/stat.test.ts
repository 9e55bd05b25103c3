import { expect } from 'chai';
import { helo } from '../../src/queue/helo.js';
import { send } from '../../src/queue/send.js';
import { stat } from '../../src/queue/stat.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../support/until.js';

describe('queue/stat', () => {
  let queues: TestQueues;
  afterEach(() => queues.close());

  it('knows no queue before its first use', async () => {
    queues = await openQueues();
    expect(await stat(queues, 100)).to.deep.equal({ queue: undefined, queues: 0 });
  });

  it('counts an empty queue that HELO made', async () => {
    queues = await openQueues();
    await helo(queues, 100);
    await helo(queues, 100);
    expect(await stat(queues, 100)).to.deep.equal({
      queue: { waiting: 0, leased: 0, delayed: 0, dead: 0, oldestMs: 0 },
      queues: 1,
    });
  });

  it('counts waiting, leased and dead messages; one whose lease has ended waits', async () => {
    queues = await openQueues({ maxDeliveries: 1, visibilityTimeoutMs: 60_000 });
    for (const id of [1, 2, 3, 4]) await send(queues, 100, { saddr: 1, id, payload: '1' });
    for (let i = 0; i < 3; i++) await recv(queues, 100);
    const leases = `${queues.prefix}:{100}:leases`;
    const members = await queues.raw.zrange(leases, '0', '-1');
    await queues.raw.zadd(leases, 1, members[0] as string, 1, members[1] as string);
    await send(queues, 200, { saddr: 1, id: 1, payload: '1' });
    const { oldestMs: _, ...before } = (await stat(queues, 100)).queue!;
    expect(before).to.deep.equal({ waiting: 3, leased: 1, delayed: 0, dead: 0 });
    await recv(queues, 100); // 1 and 2 die, 4 is delivered
    const { oldestMs: __, ...after } = (await stat(queues, 100)).queue!;
    expect(after).to.deep.equal({ waiting: 0, leased: 2, delayed: 0, dead: 2 });
    expect((await stat(queues, 100)).queues).to.equal(2);
  });

  it('tells the age of the oldest message, leased or not', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await recv(queues, 100);
    await until('it has aged', async () => ((await stat(queues, 100)).queue?.oldestMs ?? 0) >= 20);
    await send(queues, 100, { saddr: 1, id: 2, payload: '1' });
    expect((await stat(queues, 100)).queue?.oldestMs).to.be.at.least(20);
  });

  it('asks Redis for the same few commands with one queue and with many', async () => {
    queues = await openQueues();
    const calls = async (): Promise<string[]> => {
      await queues.raw.config('RESETSTAT');
      await stat(queues, 1);
      const info = await queues.raw.info('commandstats');
      return [...info.matchAll(/cmdstat_((?:[xz]|exists|scan|keys)\w*):calls=(\d+)/g)]
        .map(([, name, n]) => `${name} ${n}`)
        .sort();
    };
    await send(queues, 1, { saddr: 1, id: 1, payload: '1' });
    const withOne = await calls();
    await Promise.all(
      Array.from({ length: 2_000 }, (_, address) => send(queues, address, { saddr: 1, id: 1, payload: '1' })),
    );
    expect(await calls()).to.deep.equal(withOne);
    expect(withOne).to.deep.equal(['exists 1', 'xlen 2', 'xrange 1', 'zcard 2', 'zcount 1']);
  });
});
