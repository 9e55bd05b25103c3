import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { LoopTurns } from '../../src/http/limits/loop-turns.js';

describe('http/loop-turns', () => {
  it('gives each piece of work its own turn of the event loop, alternating between clients', async () => {
    const turns = new LoopTurns();
    const begun: string[] = [];
    const all = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map(async (name) => {
      await turns.take(name.charAt(0));
      begun.push(name);
    });
    const seen: string[] = [];
    while (begun.length < 6) {
      await nextTurn();
      if (begun.length > seen.length) seen.push(begun.slice(seen.length).join());
    }
    await Promise.all(all);
    expect(seen, 'one in each turn').to.deep.equal(begun);
    expect(begun).to.deep.equal(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('finishes started work of a client before it starts other work of that client', async () => {
    const turns = new LoopTurns();
    const begun: string[] = [];
    const work = async (name: string): Promise<void> => {
      for (const part of [1, 2]) {
        await turns.take('a', part === 2);
        begun.push(`${name} ${part}`);
      }
    };
    await Promise.all([work('x'), work('y')]);
    expect(begun).to.deep.equal(['x 1', 'x 2', 'y 1', 'y 2']);
  });

  it('continues after everything was done, also for work added during a turn', async () => {
    const turns = new LoopTurns();
    await turns.take('a');
    await turns.take('a');
    await nextTurn();
    await Promise.all([turns.take('a'), turns.take('b')]);
  });
});
