import { expect } from 'chai';
import { clientOf } from '../../src/http/limits/limits.js';
import { Rate } from '../../src/http/limits/rate.js';

describe('rate', () => {
  let nowMs = 1_000_000;
  const rate = (perS: number): Rate => new Rate(perS, () => nowMs);
  const taken = (limit: Rate, key: string, tries: number): number =>
    Array.from({ length: tries }, () => limit.take(key)).filter((waitMs) => waitMs === 0).length;

  it('allows the requests of one second at once, and then those of each second', () => {
    const limit = rate(10);
    expect(taken(limit, 'a', 30)).to.equal(10);
    let more = 0;
    for (let ms = 0; ms < 5_000; ms++) {
      nowMs += 1;
      more += taken(limit, 'a', 2);
    }
    expect(more).to.equal(50);
  });

  it('returns the exact time until the next request is allowed', () => {
    const limit = rate(4);
    expect(taken(limit, 'a', 5)).to.equal(4);
    expect(limit.take('a')).to.be.closeTo(250, 0.01);
    nowMs += 249;
    expect(limit.take('a')).to.be.closeTo(1, 0.01);
    nowMs += 1;
    expect(limit.take('a')).to.equal(0);
  });

  it('counts each key separately, without refused requests', () => {
    const limit = rate(1);
    expect([limit.take('a'), limit.take('b'), limit.take(1)]).to.deep.equal([0, 0, 0]);
    for (let n = 0; n < 100; n++) expect(limit.take('a')).to.be.closeTo(1_000, 0.01);
  });

  it('lets a charge over the limit be paid off by time', () => {
    const limit = rate(10);
    limit.take('a');
    limit.charge('a', 99);
    expect(limit.take('a')).to.be.closeTo(9_100, 0.01);
    nowMs += 9_101;
    expect(taken(limit, 'a', 10)).to.equal(1);
  });

  it('forgets keys without debt, so that memory does not grow with every address ever seen', () => {
    const limit = rate(1_000);
    for (let n = 0; n < 100_000; n++) {
      nowMs += 0.1;
      limit.take(`client ${n}`);
    }
    expect(limit.size).to.be.at.most(10_001);
    const slow = rate(1);
    for (let n = 0; n < 30_000; n++) slow.take(n);
    // none of these may be forgotten
    expect(slow.size).to.equal(30_000);
    expect(slow.take(0)).to.be.greaterThan(0);
  });

  const named: Record<string, string> = {
    '192.0.2.1': '192.0.2.1',
    '::ffff:192.0.2.1': '192.0.2.1',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2',
    '2001:db8:1:2::1': '2001:db8:1:2',
    '2001:db8::1': '2001:db8:0:0',
    '::1': '0:0:0:0',
  };
  for (const [address, client] of Object.entries(named))
    it(`maps ${address} to the client ${client}`, () => expect(clientOf({ remoteAddress: address })).to.equal(client));
});
