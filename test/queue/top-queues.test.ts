import { expect } from 'chai';
import { TopQueues } from '../../src/queue/top-queues.js';
import { gbye } from '../../src/queue/gbye.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/top-queues', () => {
  let queues: TestQueues;
  beforeEach(async () => (queues = await openQueues()));
  afterEach(() => queues.close());

  async function fill(address: number, messages: number): Promise<void> {
    const ids = Array.from({ length: messages }, (_, id) => id);
    await Promise.all(ids.map((id) => send(queues, address, { saddr: 1, id, payload: '1' })));
  }
  const round = async (topQueues: TopQueues): Promise<number[]> =>
    (await topQueues.round()).queues.map(({ address }) => address);

  it('are those that hold the most, and no more than asked for', async () => {
    const topQueues = new TopQueues(queues, 2);
    expect(await topQueues.round()).to.deep.equal({ queues: [], total: 0, oldestMs: 0, dead: 0 });
    for (const [address, messages] of Object.entries({ 1: 3, 2: 40, 3: 9, 4: 1 }))
      await fill(Number(address), messages);
    expect(await round(topQueues)).to.deep.equal([2, 3]);
  });

  it('stay until another holds twice as much, or they are gone', async () => {
    const topQueues = new TopQueues(queues, 1);
    await fill(7, 10);
    expect(await round(topQueues)).to.deep.equal([7]);
    await fill(3, 12);
    expect(await round(topQueues), 'a little more').to.deep.equal([7]);
    await fill(3, 12);
    expect(await round(topQueues), 'twice as much').to.deep.equal([3]);
    while (await recv(queues, 3));
    await gbye(queues, 3);
    await queues.raw.del(`${queues.prefix}:{3}:queue`);
    expect(await round(topQueues)).to.deep.equal([7]);
  });

  it('have among them the one with the oldest message, once it is old', async () => {
    const topQueues = new TopQueues(queues, 2);
    const { raw, prefix } = queues;
    const put = async (address: number, ageMs: number): Promise<unknown> => {
      const sentMs = (await redisMs(queues)) - ageMs;
      return raw.xadd(`${prefix}:{${address}}:queue`, '*', 'saddr', 1, 'id', 1, 'payload', '1', 'sent', sentMs);
    };
    for (const [address, messages] of Object.entries({ 1: 40, 2: 20, 3: 1, 4: 1 }))
      await fill(Number(address), messages);
    await raw.xtrim(`${prefix}:{3}:queue`, 'MAXLEN', 0);
    await put(3, 30_000);
    expect(await round(topQueues), 'not old yet').to.deep.equal([1, 2]);
    await raw.xtrim(`${prefix}:{3}:queue`, 'MAXLEN', 0);
    await put(3, 600_000);
    expect(await round(topQueues)).to.deep.equal([1, 3]);
    await raw.xtrim(`${prefix}:{4}:queue`, 'MAXLEN', 0);
    await put(4, 700_000);
    expect(await round(topQueues), 'a little older').to.deep.equal([1, 3]);
  });

  it('are found in more queues than one round reads, with sums over all of them', async () => {
    const topQueues = new TopQueues(queues, 1);
    const addresses = Array.from({ length: 1_500 }, (_, n) => n + 1);
    await Promise.all(addresses.map((address) => fill(address, 1)));
    await fill(1_400, 5);
    for (const address of [10, 1_300])
      await queues.raw.xadd(`${queues.prefix}:{${address}}:dead`, '*', 'saddr', 1, 'id', 1, 'payload', '1');
    const rounds = [];
    for (let n = 0; n < 4; n++) rounds.push(await topQueues.round());
    expect(rounds.map(({ total }) => total)).to.deep.equal([1_500, 1_500, 1_500, 1_500]);
    expect(
      rounds.map(({ dead }) => dead),
      'of what was seen, then of the last walk',
    ).to.deep.equal([1, 2, 2, 2]);
    expect(rounds[3]!.queues[0]).to.include({ address: 1_400, waiting: 6 });
    expect(rounds[2]!.queues[0], 'also while others are looked at').to.include({ address: 1_400 });
    expect(rounds[2]!.oldestMs).to.be.above(0);
  });

  it('are read once for two calls at the same time', async () => {
    const topQueues = new TopQueues(queues, 1);
    expect(topQueues.round()).to.equal(topQueues.round());
    await topQueues.round();
  });
});
