import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { helo } from '../../src/queue/helo.js';
import { send } from '../../src/queue/send.js';
import { stat } from '../../src/queue/broker-stat.js';
import { makeDue, openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

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
    const { queue, queues: count } = await stat(queues, 100);
    const { bytes, ...rest } = queue!;
    expect(bytes).to.be.within(100, 2_000);
    expect({ queue: rest, queues: count }).to.deep.equal({
      queue: { waiting: 0, leased: 0, delayed: 0, dead: 0, expired: 0, oldestMs: 0, settings: {} },
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
    const { oldestMs: _, bytes: ___, ...before } = (await stat(queues, 100)).queue!;
    expect(before).to.deep.equal({ waiting: 3, leased: 1, delayed: 0, dead: 0, expired: 0, settings: {} });
    await recv(queues, 100); // 1 and 2 die, 4 is delivered
    const { oldestMs: __, bytes: ____, ...after } = (await stat(queues, 100)).queue!;
    expect(after).to.deep.equal({ waiting: 0, leased: 2, delayed: 0, dead: 2, expired: 0, settings: {} });
    expect((await stat(queues, 100)).queues).to.equal(2);
  });

  it('counts what is delayed, or given back with a delay, until it is due; then it waits', async () => {
    queues = await openQueues();
    const options = { durability: 'primary', dedup: false, delayMs: 60_000 } as const;
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' }, options);
    await send(queues, 100, { saddr: 1, id: 2, payload: '1' });
    await recv(queues, 100);
    await back(queues, 100, 2, { delayMs: 60_000 });
    expect((await stat(queues, 100)).queue).to.include({ waiting: 0, leased: 0, delayed: 2 });
    await makeDue(queues, 'delayed');
    await makeDue(queues, 'backed');
    expect((await stat(queues, 100)).queue).to.include({ waiting: 2, leased: 0, delayed: 0 });
  });

  it('returns the bytes of waiting, delayed and dead messages', async () => {
    queues = await openQueues({ maxDeliveries: 1, visibilityTimeoutMs: 0 });
    const payload = `"${'x'.repeat(100_000)}"`;
    const bytes = async (): Promise<number> => (await stat(queues, 100)).queue?.bytes ?? 0;
    await send(queues, 100, { saddr: 1, id: 1, payload });
    expect(await bytes()).to.be.within(100_000, 150_000);
    const options = { durability: 'primary', dedup: false, delayMs: 60_000 } as const;
    await send(queues, 100, { saddr: 1, id: 2, payload }, options);
    expect(await bytes()).to.be.within(200_000, 300_000);
    for (let i = 0; i < 2; i++) await recv(queues, 100);
    expect((await stat(queues, 100)).queue).to.include({ waiting: 0, dead: 1 });
    expect(await bytes()).to.be.within(200_000, 300_000);
  });

  it('returns what HELO set, and how many messages have expired', async () => {
    queues = await openQueues();
    await helo(queues, 100, { max_deliveries: 3, ttl_ms: 5_000 });
    await queues.raw.hset(`${queues.prefix}:{100}:counts`, 'expired', 7);
    const { queue } = await stat(queues, 100);
    expect(queue).to.deep.include({ expired: 7, settings: { max_deliveries: 3, ttl_ms: 5_000 } });
  });

  it('returns the age of the oldest message, leased or not', async () => {
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
      return [...info.matchAll(/cmdstat_((?:[xz]|exists|scan|keys)[\w|]*):calls=(\d+)/g)]
        .map(([, name, n]) => `${name} ${n}`)
        .sort();
    };
    await send(queues, 1, { saddr: 1, id: 1, payload: '1' });
    const withOne = await calls();
    await Promise.all(
      Array.from({ length: 2_000 }, (_, address) => send(queues, address, { saddr: 1, id: 1, payload: '1' })),
    );
    expect(await calls()).to.deep.equal(withOne);
    expect(withOne).to.deep.equal(['exists 1', 'xlen 3', 'xrange 1', 'zcard 3', 'zcount 3']);
  });
});
