import { expect } from 'chai';
import { SCRIPT_COST } from '../../src/config/limits.js';
import type { BrokerError } from '../../src/errors.js';
import { LightTurns, inLane, sendCost } from '../../src/queue/light-turns.js';
import type { Lane } from '../../src/queue/light-turns.js';

const MOST = 1_024;

describe('queue/light-turns: light requests', () => {
  let turns: LightTurns;
  let lane: Lane;
  /** Names of requests in the order in which they have begun. */
  let begun: string[];
  let ends: Map<string, (error?: Error) => void>;

  beforeEach(() => {
    turns = new LightTurns(() => '');
    lane = turns.lane(100);
    begun = [];
    ends = new Map();
  });

  /** @param name of a request; its first letter is the client's */
  function ask(name: string, cost = 1): Promise<string> {
    return inLane(lane, name.charAt(0), cost, () => {
      begun.push(name);
      return new Promise((resolve, reject) =>
        ends.set(name, (error) => {
          if (error) reject(error);
          else resolve(name);
        }),
      );
    });
  }
  const end = async (name: string, error?: Error): Promise<void> => {
    ends.get(name)!(error);
    await new Promise(setImmediate);
  };
  const many = (who: string, count: number): Promise<string>[] =>
    Array.from({ length: count }, (_, i) => ask(`${who}${i}`));

  it('begin in the same turn of the event loop up to the limit, and the others later in order', async () => {
    const all = many('a', MOST + 3);
    const failed = all[3]!.catch((error: unknown) => (error as Error).message);
    expect(begun).to.have.length(MOST);
    expect(turns.waiting).to.equal(3);
    await end('a7');
    await end('a3', new Error('away'));
    expect(begun.slice(MOST)).to.deep.equal([`a${MOST}`, `a${MOST + 1}`]);
    expect(await all[7]).to.equal('a7');
    expect(await failed).to.equal('away');
    expect(turns.waiting).to.equal(1);
  });

  it('are counted separately for each client', () => {
    void many('a', MOST + 1);
    void many('b', 2);
    expect(begun.slice(MOST)).to.deep.equal(['b0', 'b1']);
  });

  it('are counted separately for each Redis and each durability level', () => {
    turns = new LightTurns(String);
    for (const each of [turns.lane(1), turns.lane(2), turns.lane(1, 'quorum')]) {
      lane = each;
      void many('a', MOST + 1);
    }
    expect(begun).to.have.length(3 * MOST + 1);
  });

  it('are counted by their cost; one that costs more than the limit runs alone', async () => {
    void ask('a0', MOST + 100);
    void ask('a1', MOST - 1);
    void ask('a2', 2);
    void ask('a3', 1);
    expect(begun).to.deep.equal(['a0']);
    await end('a0');
    // the third does not fit, and the fourth must not overtake it
    expect(begun).to.deep.equal(['a0', 'a1']);
    await end('a1');
    expect(begun).to.deep.equal(['a0', 'a1', 'a2', 'a3']);
    expect([sendCost(100, false), sendCost(100, true), sendCost(1_048_576, false)]).to.deep.equal([
      1,
      SCRIPT_COST,
      257,
    ]);
  });

  it('are refused without effect if they cannot begin in time', async () => {
    turns = new LightTurns(() => '', 300);
    lane = turns.lane(1);
    void many('a', MOST);
    const since = performance.now();
    const error = await ask('a, late').then(
      () => expect.fail('it was done'),
      (failure: unknown) => failure as BrokerError,
    );
    expect(error).to.include({ reason: 'overloaded', outcome: 'not_done' });
    expect(performance.now() - since).to.be.at.least(300);
    expect(begun).to.have.length(MOST);
    expect(turns.waiting).to.equal(0);
    await end('a0');
    void ask('a, again');
    expect(begun.at(-1)).to.equal('a, again');
  });
});
