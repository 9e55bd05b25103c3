import { expect } from 'chai';
import { drop } from '../../src/queue/drop.js';
import { free } from '../../src/queue/free.js';
import { helo } from '../../src/queue/helo.js';
import { list, report } from '../../src/queue/list.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

type Ranges = Parameters<typeof list>[1]['among'];

describe('queue/list', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const ALL = [[0, 4_294_967_295]] as const;
  const addressesOf = async (prefix: string, after = -1, limit = 1_000, among: Ranges = ALL): Promise<number[]> =>
    (await list(queues, { prefix, after, limit, among })).reports.map(({ address }) => address);
  afterEach(() => queues.close());

  it('pages through all queues in the order of their addresses', async () => {
    queues = await openQueues();
    const addresses = [0, 4, 7, 42, 100, 421, 4_294_967_295];
    await Promise.all(addresses.map((address) => helo(queues, address)));
    const found: number[] = [];
    let after: number | undefined = -1;
    while (after !== undefined) {
      const page: Awaited<ReturnType<typeof list>> = await list(queues, { prefix: '', after, limit: 3, among: ALL });
      found.push(...page.reports.map(({ address }) => address));
      after = page.last;
    }
    expect(found).to.deep.equal(addresses);
  });

  it('finds addresses by how they begin', async () => {
    queues = await openQueues();
    for (const address of [0, 4, 42, 43, 142, 420, 429, 4_294_967_295]) await helo(queues, address);
    expect(await addressesOf('42')).to.deep.equal([42, 420, 429, 4_294_967_295]);
    expect(await addressesOf('42', 42, 2)).to.deep.equal([420, 429]);
    expect(await addressesOf('0')).to.deep.equal([0]);
    expect(await addressesOf('9')).to.deep.equal([]);
  });

  it('lists only queues in the given ranges, page by page', async () => {
    queues = await openQueues();
    for (const address of [4, 42, 43, 142, 420, 429, 4_294_967_295]) await helo(queues, address);
    const among: Ranges = [
      [5, 42],
      [142, 142],
      [421, 500],
    ];
    expect(await addressesOf('', -1, 9, among)).to.deep.equal([42, 142, 429]);
    expect(await addressesOf('', -1, 2, among)).to.deep.equal([42, 142]);
    expect(await addressesOf('', 142, 2, among)).to.deep.equal([429]);
    expect(await addressesOf('42', -1, 9, among)).to.deep.equal([42, 429]);
    // more ranges than are looked through at once
    const every = Array.from({ length: 200 }, (_, i) => [3 * i, 3 * i] as const);
    expect(await addressesOf('', -1, 9, every)).to.deep.equal([42, 420, 429]);
    expect(await addressesOf('', -1, 1, every)).to.deep.equal([42]);
  });

  it('knows no queue where there is none, and leaves out one that has just gone', async () => {
    queues = await openQueues();
    expect(await report(queues, 100)).to.equal(undefined);
    await queues.raw.zadd(`${queues.prefix}:queues`, 100, '100');
    expect(await addressesOf('')).to.deep.equal([]);
    expect(await queues.keys()).to.deep.equal(['queues']);
  });

  it('returns rates since a sample that is ten seconds old or more, and keeps the last two', async () => {
    queues = await openQueues();
    for (const id of [1, 2, 3, 4]) await send(queues, 100, { saddr: 1, id, payload: '1' });
    const unknown = { send: null, receive: null, free: null, overMs: null };
    expect((await report(queues, 100))?.rates).to.deep.equal(unknown);
    const agoBy = async (ms: number): Promise<void> => {
      await queues.raw.hincrby(key('sample'), 'at', -ms);
    };
    for (let id = 5; id <= 24; id++) await send(queues, 100, { saddr: 1, id, payload: '1' });
    for (let i = 0; i < 10; i++) await recv(queues, 100);
    for (let id = 1; id <= 5; id++) await free(queues, 100, id);
    await agoBy(10_000);
    const { rates } = (await report(queues, 100))!;
    expect(rates.overMs).to.be.at.least(10_000);
    const perSecond = (n: number): number => Math.round((n * 1e6) / rates.overMs!) / 1e3;
    expect(rates).to.include({ send: perSecond(20), receive: perSecond(10), free: perSecond(5) });
    const sample = await queues.raw.hgetall(key('sample'));
    expect(sample).to.include({ sent: '24', received: '10', gone: '5', before_sent: '4', before_received: '0' });
    // soon after, the one before still counts
    expect((await report(queues, 100))?.rates.overMs).to.be.at.least(10_000);
    expect(await queues.raw.hgetall(key('sample'))).to.deep.equal(sample);
    expect(await queues.raw.pttl(key('sample'))).to.be.within(1, 3_600_000);
  });

  it('counts sent messages as XINFO STREAM does, which it calls only where XINFO GROUPS does not know', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 60_000 });
    const leased: number[] = [];
    const cheap: boolean[] = [];
    for (let id = 1; id <= 60; id++) {
      await send(queues, 100, { saddr: 1, id, payload: '1' });
      if (id % 3 !== 1) leased.push((await recv(queues, 100))!.id);
      if (id % 5 === 0) await free(queues, 100, leased.splice(leased.length / 2, 1)[0]!);
      if (id % 20 === 0) await drop(queues, 100, 'waiting', [], 1);
      const info = (await queues.raw.xinfo('STREAM', key('queue'))) as unknown[];
      const [added, length] = ['entries-added', 'length'].map((name) => info[info.indexOf(name) + 1] as number);
      await queues.raw.config('RESETSTAT');
      const [, sent, , gone] = await queues.redis.aizumiCounters(key('queue'), key('delayed'), key('sample'));
      expect({ id, sent, gone }).to.deep.equal({ id, sent: added, gone: added! - length! });
      cheap.push(!(await queues.raw.info('commandstats')).includes('xinfo|stream'));
    }
    expect(cheap).to.include(true).and.to.include(false);
  });

  it('does not know the rates of a queue that was created again', async () => {
    queues = await openQueues();
    for (const id of [1, 2]) await send(queues, 100, { saddr: 1, id, payload: '1' });
    await report(queues, 100);
    await queues.raw.del(key('queue'));
    await helo(queues, 100);
    expect((await report(queues, 100))?.rates.send).to.equal(null);
    expect(await queues.raw.hget(key('sample'), 'sent')).to.equal('0');
  });
});
