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

  it('knows that there is room in a queue that was just seen far from full', async () =>
    expect((await known(1_000_000, 10)).hasRoom(100, 1)).to.equal(true));

  it('knows each queue by itself', async () => {
    const lengths = await known(1_000_000, 10);
    await measured(lengths, 101);
    lengths.learn(101, 999_999, 0, 1_000_000);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    expect(lengths.hasRoom(102, 1)).to.equal(false);
  });

  it('goes by the limit that it has seen last, which each queue may have of its own', async () => {
    const lengths = await known(1_000_000, 10);
    await measured(lengths, 101);
    lengths.learn(101, 10, 0, 50);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    lengths.learn(101, 10, 2, 2_000_000);
    expect(lengths.hasRoom(101, 3)).to.equal(true);
  });

  it('looks again every 2 s', async () => {
    const lengths = await known(2_000_000, 10);
    expect(lengths.hasRoom(100, 1_999)).to.equal(true);
    expect(lengths.hasRoom(100, 2_000)).to.equal(false);
    lengths.learn(100, 11, 2_000, 2_000_000);
    expect(lengths.hasRoom(100, 3_999)).to.equal(true);
  });

  it('does not know once the queue could have filled up behind its back', async () => {
    const lengths = await known(1_000_000, 900_000);
    expect(lengths.hasRoom(100, 198)).to.equal(true);
    expect(lengths.hasRoom(100, 200)).to.equal(false);
    expect(lengths.hasRoom(100, 3_600_000)).to.equal(false);
  });

  it('goes by what it has seen last, not by what it saw first', async () => {
    const lengths = await known(1_000_000, 999_990);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
    lengths.learn(100, 0, 2, 1_000_000);
    expect(lengths.hasRoom(100, 3)).to.equal(true);
  });

  it('does not know of a queue that is full, or over-full after a lowered limit', async () => {
    for (const length of [1_000, 1_001, 5_000]) expect((await known(1_000, length)).hasRoom(100, 0)).to.equal(false);
  });

  it('never knows with a limit so small that a millisecond could fill it', async () => {
    for (const maxLength of [1, 50, 500]) expect((await known(maxLength, 0)).hasRoom(100, 0)).to.equal(false);
  });

  it('forgets', async () => {
    const lengths = await known(1_000_000, 10);
    lengths.forget(100);
    lengths.forget(999);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
  });

  it('takes address 0 for an address', async () => {
    const lengths = new QueueLengths();
    await measured(lengths, 0);
    lengths.learn(0, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 0)).to.equal(true);
  });

  it('does not grow without end: over 100,000 addresses it starts afresh', async () => {
    const lengths = new QueueLengths();
    await measured(lengths, 0);
    for (let address = 0; address < 100_000; address++) lengths.learn(address, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(true);
    await measured(lengths, 100_000);
    lengths.learn(100_000, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(false);
    expect(lengths.hasRoom(100_000, 1)).to.equal(true);
  });

  it('never says yes when a queue that grows by 500 a millisecond could be full', async () => {
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
