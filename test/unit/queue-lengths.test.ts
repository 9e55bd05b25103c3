import { expect } from 'chai';
import fc from 'fast-check';
import { QueueLengths } from '../../src/queue/queue-lengths.js';

describe('queue/queue-lengths', () => {
  const known = (maxLength: number, length: number): QueueLengths => {
    const lengths = new QueueLengths();
    lengths.learn(100, length, 0, maxLength);
    return lengths;
  };

  it('knows nothing of a queue at first', () => expect(new QueueLengths().hasRoom(100, 0)).to.equal(false));

  it('knows that there is room in a queue that was just seen far from full', () =>
    expect(known(1_000_000, 10).hasRoom(100, 1)).to.equal(true));

  it('knows each queue by itself', () => {
    const lengths = known(1_000_000, 10);
    lengths.learn(101, 999_999, 0, 1_000_000);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    expect(lengths.hasRoom(102, 1)).to.equal(false);
  });

  it('goes by the limit that it has seen last, which each queue may have of its own', () => {
    const lengths = known(1_000_000, 10);
    lengths.learn(101, 10, 0, 50);
    expect(lengths.hasRoom(100, 1)).to.equal(true);
    expect(lengths.hasRoom(101, 1)).to.equal(false);
    lengths.learn(101, 10, 2, 2_000_000);
    expect(lengths.hasRoom(101, 3)).to.equal(true);
  });

  it('looks again every 2 s', () => {
    const lengths = known(2_000_000, 10);
    expect(lengths.hasRoom(100, 1_999)).to.equal(true);
    expect(lengths.hasRoom(100, 2_000)).to.equal(false);
    lengths.learn(100, 11, 2_000, 2_000_000);
    expect(lengths.hasRoom(100, 3_999)).to.equal(true);
  });

  it('does not know once the queue could have filled up behind its back', () => {
    const lengths = known(1_000_000, 900_000);
    expect(lengths.hasRoom(100, 198)).to.equal(true);
    expect(lengths.hasRoom(100, 200)).to.equal(false);
    expect(lengths.hasRoom(100, 3_600_000)).to.equal(false);
  });

  it('goes by what it has seen last, not by what it saw first', () => {
    const lengths = known(1_000_000, 999_990);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
    lengths.learn(100, 0, 2, 1_000_000);
    expect(lengths.hasRoom(100, 3)).to.equal(true);
  });

  it('does not know of a queue that is full, or over-full after a lowered limit', () => {
    for (const length of [1_000, 1_001, 5_000]) expect(known(1_000, length).hasRoom(100, 0)).to.equal(false);
  });

  it('never knows with a limit so small that a millisecond could fill it', () => {
    for (const maxLength of [1, 50, 500]) expect(known(maxLength, 0).hasRoom(100, 0)).to.equal(false);
  });

  it('forgets', () => {
    const lengths = known(1_000_000, 10);
    lengths.forget(100);
    lengths.forget(999);
    expect(lengths.hasRoom(100, 1)).to.equal(false);
  });

  it('takes address 0 for an address', () => {
    const lengths = new QueueLengths();
    lengths.learn(0, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 0)).to.equal(true);
  });

  it('does not grow without end: over 100,000 addresses it starts afresh', () => {
    const lengths = new QueueLengths();
    for (let address = 0; address < 100_000; address++) lengths.learn(address, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(true);
    lengths.learn(100_000, 0, 0, 1_000_000);
    expect(lengths.hasRoom(0, 1)).to.equal(false);
    expect(lengths.hasRoom(100_000, 1)).to.equal(true);
  });

  it('never says yes when a queue that grows by 500 a millisecond could be full', () => {
    const cases = fc.record({
      max: fc.nat(2_000_000),
      length: fc.nat(2_000_000),
      ageMs: fc.double({ min: 0, max: 30_000, noNaN: true }),
    });
    fc.assert(
      fc.property(cases, ({ max, length, ageMs }) => {
        if (known(max, length).hasRoom(100, ageMs)) expect(length + 500 * ageMs).to.be.below(max);
      }),
    );
  });
});
