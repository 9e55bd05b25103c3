// How npm run test:cluster evaluates its counts. No cluster is needed here.
import { expect } from 'chai';
import type { Row } from '../cluster/event.js';
import { count, countIn } from '../cluster/load.js';
import { markdown, violations } from '../cluster/table.js';

const GOOD: Row = {
  event: 'a pod deleted',
  notDone: 0,
  unknown: 0,
  longestMs: 420,
  acknowledged: 12_345,
  lost: 0,
  denied: 0,
  bound: 'planned',
  reasons: {},
  gaps: [],
};

describe('the table of test:cluster', () => {
  it('counts the ids that two lists of ranges have in common', () => {
    const acknowledged = [
      [0, 9],
      [20, 29],
    ] as const;
    expect(count(acknowledged)).to.equal(20);
    expect(countIn(acknowledged, [[0, 100]])).to.equal(20);
    expect(countIn(acknowledged, [])).to.equal(0);
    expect(
      countIn(acknowledged, [
        [0, 4],
        [6, 20],
        [22, 22],
        [29, 40],
      ]),
    ).to.equal(5 + 4 + 1 + 1 + 1);
    expect(countIn([[5, 5]], acknowledged)).to.equal(1);
  });

  it('is Markdown, and says for each limit whether it was kept', () => {
    const rows = [
      GOOD,
      { ...GOOD, longestMs: 1_001 },
      { ...GOOD, unknown: 3 },
      { ...GOOD, bound: 'failover', longestMs: 5_900, notDone: 40 } as const,
      { ...GOOD, bound: undefined, longestMs: Infinity },
    ];
    expect(markdown([...rows, { name: 'probes', seen: '0 zombies' }, { skipped: 'cut', why: 'no tool' }])).to.equal(
      `| event | not done | unknown | longest without a 200 | acknowledged | lost | bound |
|---|---:|---:|---:|---:|---:|---|
| a pod deleted | 0 | 0 | 0.42 s | 12,345 | 0 | 1 s, all done: met |
| a pod deleted | 0 | 0 | 1.0 s | 12,345 | 0 | 1 s, all done: MISSED |
| a pod deleted | 0 | 3 | 0.42 s | 12,345 | 0 | 1 s, all done: MISSED |
| a pod deleted | 40 | 0 | 5.9 s | 12,345 | 0 | 6 s: met |
| a pod deleted | 0 | 0 | always | 12,345 | 0 | – |

| check | seen |
|---|---|
| probes | 0 zombies |

Skipped:

- cut: no tool`,
    );
  });

  it('counts losses, wrong refusals and other faults as broken promises, but no times', () => {
    expect(violations([GOOD, { ...GOOD, longestMs: 90_000 }, { skipped: 'cut', why: 'no tool' }])).to.deep.equal([]);
    expect(violations([{ ...GOOD, bound: 'failover', notDone: 1_000, unknown: 8 }])).to.deep.equal([]);
    const broken: [Partial<Row>, string][] = [
      [{ lost: 2 }, 'a pod deleted: 2 acknowledged messages are lost'],
      [{ denied: 1 }, 'a pod deleted: 1 messages were delivered though they were answered "not done"'],
      [{ notDone: 1 }, 'a pod deleted: 1 were not done and 0 unknown of a planned stop'],
      [{ unknown: 1 }, 'a pod deleted: 0 were not done and 1 unknown of a planned stop'],
      [{ fault: 'not whole' }, 'a pod deleted: not whole'],
    ];
    for (const [change, text] of broken) expect(violations([{ ...GOOD, ...change }])).to.deep.equal([text]);
    expect(violations([{ name: 'probes', seen: '3 zombies', broken: true }])).to.deep.equal(['probes: 3 zombies']);
  });
});
