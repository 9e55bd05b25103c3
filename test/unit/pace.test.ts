// The pacer of load: requests are due at an even rate.
import { expect } from 'chai';
import { createPacer } from '../../harness/pace.js';
import { until } from '../../harness/until.js';

describe('the pacer of load', () => {
  it('spreads requests evenly over a second, never early', async () => {
    const pacer = createPacer(500);
    const dues: number[] = [];
    let early = 0;
    const again = (): void =>
      pacer.enter((dueMs) => {
        if (dueMs > performance.now()) early += 1;
        dues.push(dueMs);
        if (dues.length < 200) again();
      });
    for (let i = 0; i < 8; i++) again();
    await until('200 requests have had their turn', () => dues.length >= 200);
    pacer.stop();
    expect(early).to.equal(0);
    // requests let through at the end have no due time
    dues.slice(1, 200).forEach((due, i) => expect(due - dues[i]!).to.be.closeTo(2, 1e-6));
  });

  it('passes the due time to a late request', async () => {
    const pacer = createPacer(1000);
    const startMs = performance.now();
    await until('time has passed', () => performance.now() > startMs + 20);
    let due = 0;
    pacer.enter((dueMs) => (due = dueMs));
    expect(due).to.be.closeTo(startMs, 2);
    pacer.stop();
  });

  it('lets all requests through when it stops', () => {
    const pacer = createPacer(1);
    let turns = 0;
    for (let i = 0; i < 5; i++) pacer.enter(() => (turns += 1));
    expect(turns).to.equal(1);
    pacer.stop();
    expect(turns).to.equal(5);
  });
});
