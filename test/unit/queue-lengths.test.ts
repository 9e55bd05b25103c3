import { expect } from 'chai';
import fc from 'fast-check';
import { QueueLengths } from '../../src/queue/queue-lengths.js';

describe('queue/queue-lengths', () => {
  const measured = (lengths: QueueLengths, address: number, bytes = 0): Promise<void> =>
    lengths.measure(
      address,
      () => Promise.resolve({ bytes }),
      () => undefined,
    );
  const known = async (maxLength: number, length: number): Promise<QueueLengths> => {
    const lengths = new QueueLengths();
    await measured(lengths, 100);
    lengths.learn(100, length, 0, maxLength);
    return lengths;
  };

  it('knows nothing of a queue at first', () => expect(new QueueLengths().hasRoom(100, 0)).to.equal(false));

  it('reports room in a queue that was just found far from full', async () =>
    expect((await known(1_000_000, 10)).hasRoom(100, 1)).to.equal(true));

  it('tracks each queue separately', async () => {
    const lengths = await known(1_000_000, 10);
    await measured(lengths, 101);
    lengths.learn(101, 999_999, 0, 1_000_000);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    expect(lengths.hasRoom(102, 1)).to.equal(false);
  });

  it('uses the latest limit of each queue', async () => {
    const lengths = await known(1_000_000, 10);
    await measured(lengths, 101);
    lengths.learn(101, 10, 0, 50);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    lengths.learn(101, 10, 2, 2_000_000);
    expect(lengths.hasRoom(101, 3)).to.equal(true);
  });

  it('checks again every 2 s', async () => {
    const lengths = await known(2_000_000, 10);
    expect(lengths.hasRoom(100, 1_999)).to.equal(true);
    expect(lengths.hasRoom(100, 2_000)).to.equal(false);
    lengths.learn(100, 11, 2_000, 2_000_000);
    expect(lengths.hasRoom(100, 3_999)).to.equal(true);
  });

  it('reports no room once the queue could have filled up unnoticed', async () => {
    const lengths = await known(1_000_000, 900_000);
    expect(lengths.hasRoom(100, 198)).to.equal(true);
    expect(lengths.hasRoom(100, 200)).to.equal(false);
    expect(lengths.hasRoom(100, 3_600_000)).to.equal(false);
  });

  it('uses the latest length, not the first one', async () => {
    const lengths = await known(1_000_000, 999_990);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
    lengths.learn(100, 0, 2, 1_000_000);
    expect(lengths.hasRoom(100, 3)).to.equal(true);
  });

  it('reports no room in a queue that is full, or over a lowered limit', async () => {
    for (const length of [1_000, 1_001, 5_000]) expect((await known(1_000, length)).hasRoom(100, 0)).to.equal(false);
  });

  it('never reports room with a limit that could be reached within a millisecond', async () => {
    for (const maxLength of [1, 50, 500]) expect((await known(maxLength, 0)).hasRoom(100, 0)).to.equal(false);
  });

  it('forgets a queue', async () => {
    const lengths = await known(1_000_000, 10);
    lengths.forget(100);
    lengths.forget(999);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
  });

  it('accepts address 0', async () => {
    const lengths = new QueueLengths();
    await measured(lengths, 0);
    lengths.learn(0, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 0)).to.equal(true);
  });

  it('is bounded: beyond 100,000 addresses it starts afresh', async () => {
    const lengths = new QueueLengths();
    await measured(lengths, 0);
    for (let address = 0; address < 100_000; address++) lengths.learn(address, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(true);
    await measured(lengths, 100_000);
    lengths.learn(100_000, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(false);
    expect(lengths.hasRoom(100_000, 1)).to.equal(true);
  });

  it('never reports room if a queue that grows by 500 messages a millisecond could be full', async () => {
    const cases = fc.record({
      max: fc.nat(2_000_000),
      length: fc.nat(2_000_000),
      ageMs: fc.double({ min: 0, max: 30_000, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ max, length, ageMs }) => {
        if ((await known(max, length)).hasRoom(100, ageMs)) expect(length + 500 * ageMs).to.be.below(max);
      }),
    );
  });
});
