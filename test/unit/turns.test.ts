import { expect } from 'chai';
import { SLICE_MESSAGES } from '../../src/config/limits.js';
import type { BrokerError } from '../../src/errors.js';
import { Turns } from '../../src/queue/turns.js';
import type { Asker, Slice } from '../../src/queue/turns.js';
import { until } from '../../harness/until.js';

/** A slice that is in progress until the test ends it. */
interface Job {
  name: string;
  end(error?: Error): void;
}

describe('queue/turns', () => {
  let turns: Turns;
  /** Names of slices in the order in which they have begun. */
  let begun: string[];
  let underWay: Map<string, Job>;

  beforeEach(() => {
    turns = new Turns((key) => key);
    begun = [];
    underWay = new Map();
  });

  /** @param name of a client's request; its first letter is the client's */
  function take(name: string, options: Partial<Slice> = {}): Promise<string> {
    const asker: Asker = { who: name.charAt(0), hasLeft: false };
    const slice = { key: '', size: SLICE_MESSAGES, isBegun: false, asker, ...options };
    return turns.take(slice, () => {
      begun.push(name);
      return new Promise((resolve, reject) => {
        const end = (error?: Error): void => {
          underWay.delete(name);
          if (error) reject(error);
          else resolve(name);
        };
        underWay.set(name, { name, end });
      });
    });
  }
  const ended = async (...names: string[]): Promise<void> => {
    for (const name of names) {
      underWay.get(name)!.end();
      await new Promise(setImmediate);
    }
  };
  afterEach('nothing waits until its time is up: nobody would hear of its failure then', async () => {
    while (underWay.size > 0) await ended(...underWay.keys());
    expect(turns.waiting).to.equal(0);
  });

  const failure = async (promise: Promise<unknown>): Promise<BrokerError> =>
    promise.then(
      () => expect.fail('it was done'),
      (error: unknown) => error as BrokerError,
    );

  it('begins work that fits into two slices in the same turn of the event loop', async () => {
    const [first, second] = [take('a1'), take('b1')];
    expect(begun).to.deep.equal(['a1', 'b1']);
    void take('c1');
    expect(begun).to.deep.equal(['a1', 'b1']);
    await ended('a1', 'b1');
    expect([await first, await second]).to.deep.equal(['a1', 'b1']);
    expect(begun).to.deep.equal(['a1', 'b1', 'c1']);
  });

  it('counts messages, so that many small requests run at a time', () => {
    for (let i = 0; i < 30; i++) void take(`a${i}`, { size: 10 });
    expect(begun).to.have.length(Math.floor((2 * SLICE_MESSAGES) / 10));
    expect(turns.waiting).to.equal(30 - begun.length);
  });

  it('alternates between clients, not between requests', async () => {
    for (let i = 1; i <= 100; i++) void take(`a${i}`);
    for (const name of ['b1', 'c1', 'b2']) void take(name);
    for (let i = 0; i < 6; i++) await ended([...underWay.keys()][0]!);
    expect(begun).to.deep.equal(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5']);
  });

  it('continues a started request before the next request of that client', async () => {
    for (const name of ['a1', 'a2', 'a3']) void take(name);
    void take('a1, more', { isBegun: true });
    void take('b1');
    await ended('a1', 'a2');
    expect(begun).to.deep.equal(['a1', 'a2', 'a1, more', 'b1']);
  });

  it('schedules each Redis separately', () => {
    for (const key of ['one', 'two']) for (const n of [1, 2, 3]) void take(`${key} ${n}`, { key });
    expect(begun).to.deep.equal(['one 1', 'one 2', 'two 1', 'two 2']);
  });

  it('continues after a failed slice, and reports its failure', async () => {
    const all = [take('a1'), take('a2'), take('a3')];
    underWay.get('a1')!.end(new Error('away'));
    expect(await failure(all[0]!)).to.include({ message: 'away' });
    expect(begun).to.deep.equal(['a1', 'a2', 'a3']);
  });

  it('refuses the requests of one client over its limit at once, and no others', async () => {
    const all = Array.from({ length: 20_002 }, (_, i) => take(`a${i}`).catch(() => undefined));
    expect(await failure(take('a, one more'))).to.include({ reason: 'overloaded', outcome: 'not_done' });
    void take('b1');
    expect(turns.waiting).to.equal(20_001);
    await ended('a0', 'a1');
    expect(begun.slice(2)).to.deep.equal(['a2', 'b1']);
    expect(all).to.have.length(20_002);
  });

  it('refuses requests that cannot begin in time; started ones keep waiting', async () => {
    turns = new Turns(() => '', 300);
    void take('a1');
    void take('a2');
    const since = performance.now();
    const [waits, goesOn] = [take('b1'), take('a1, more', { isBegun: true })];
    expect(await failure(waits)).to.include({ reason: 'overloaded', outcome: 'not_done' });
    expect(performance.now() - since).to.be.at.least(300);
    await ended('a1');
    expect(begun).to.deep.equal(['a1', 'a2', 'a1, more']);
    await ended('a1, more');
    expect(await goesOn).to.equal('a1, more');
  });

  it('drops the requests of a disconnected client', async () => {
    void take('a1');
    void take('a2');
    const asker = { who: 'b', hasLeft: false };
    const gone = failure(take('b1', { asker }));
    void take('c1');
    asker.hasLeft = true;
    await until('the request is dropped', () => turns.waiting === 1);
    expect(await gone).to.include({ reason: 'overloaded', outcome: 'not_done' });
    await ended('a1');
    expect(begun).to.deep.equal(['a1', 'a2', 'c1']);
  });
});
