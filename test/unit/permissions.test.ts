import fc from 'fast-check';
import { expect } from 'chai';
import { ACTIONS, ANYTHING, accessOf } from '../../src/access/permissions.js';

const LAST = 4_294_967_295;

describe('permissions', () => {
  it('allow only what they name', () => {
    const access = accessOf('a', { send: [100, '200-299'], receive: ['7'] });
    for (const address of [100, 200, 250, 299]) expect(access.may('send', address), String(address)).to.equal(true);
    for (const address of [0, 7, 99, 101, 199, 300, LAST]) expect(access.may('send', address)).to.equal(false);
    expect(access.may('receive', 7)).to.equal(true);
    for (const address of [0, 7, 100, LAST]) expect(access.may('administer', address)).to.equal(false);
  });

  it('allow to send to every address, unless they name some', () => {
    expect(accessOf('a', { send: [1] }).may('to', LAST)).to.equal(true);
    expect(accessOf('a', { send: [1], to: [2] }).may('to', 3)).to.equal(false);
    expect(accessOf('a', { send: [1], to: [] }).may('to', 3)).to.equal(false);
  });

  it('treat a star and the whole range as all addresses', () => {
    for (const all of ['*', `0-${LAST}`]) {
      const access = accessOf('a', { receive: [all] });
      for (const address of [0, 1, LAST]) expect(access.may('receive', address)).to.equal(true);
    }
  });

  it('include look in administer, and not the other way round', () => {
    const access = accessOf('a', { look: [1], administer: [2, '4-5'], receive: [3] });
    for (const [address, look, administer] of [
      [1, true, false],
      [2, true, true],
      [3, false, false],
      [5, true, true],
    ] as const) {
      expect(access.may('look', address), String(address)).to.equal(look);
      expect(access.may('administer', address), String(address)).to.equal(administer);
    }
    expect(access.ranges('look')).to.deep.equal([
      [1, 2],
      [4, 5],
    ]);
  });

  it('list their ranges in order and without overlaps', () => {
    const ranges = accessOf('a', { administer: ['30-40', 5, '35-50', 4, '51-52', '30-31'] }).ranges('administer');
    expect(ranges).to.deep.equal([
      [4, 5],
      [30, 52],
    ]);
    expect(accessOf('a', {}).ranges('administer')).to.deep.equal([]);
  });

  it('decide for every address as a search of all ranges would', () => {
    const range = fc.tuple(fc.nat(60), fc.nat(8)).map(([from, width]) => [from, from + width] as const);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), fc.nat(70), (ranges, address) => {
        const access = accessOf('a', { send: ranges.map(([from, to]) => `${from}-${to}`) });
        expect(access.may('send', address)).to.equal(ranges.some(([from, to]) => from <= address && address <= to));
      }),
    );
  });

  it('allow everything if no credentials are required', () => {
    for (const action of ACTIONS) expect(ANYTHING.may(action, LAST)).to.equal(true);
  });
});
