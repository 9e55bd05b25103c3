// The short version of `npm run chaos`: a Sentinel stack, messages at `all`, in peace, over jumps of Redis's clock and under
// several faults.
import { expect } from 'chai';
import { NO_CLOCK, clockLibrary } from '../../chaos/clock.js';
import { violations } from '../../chaos/report.js';
import { runScenario } from '../../chaos/run.js';
import { SCENARIOS } from '../../chaos/scenarios.js';
import { startSentinelStack } from '../support/stacks.js';
import type { Stack } from '../support/stacks.js';

const seed = Number(process.env.AIZUMI_TEST_SEED ?? Date.now() % 1e9);

describe(`acknowledged messages, over three Redis nodes and two workers (AIZUMI_TEST_SEED=${seed})`, function () {
  this.timeout(60_000);
  const clock = clockLibrary();
  let stack: Stack;

  before(async () => {
    stack = await startSentinelStack({ clock });
  });
  after(() => stack.stop());

  const scenarios: [string, string][] = [
    ['none', 'are delivered once and in order while nothing fails'],
    ['redis-clock-back', "are kept when Redis's clock jumps an hour back, and ahead again"],
    ['short', 'are kept over cut connections, the death of the primary and of a worker, with clocks that jump'],
  ];
  for (const [scenario, what] of scenarios) {
    const isGap = clock === undefined && SCENARIOS[scenario]!.needs === 'clock';
    it(isGap ? `${what}: not run, ${NO_CLOCK}` : what, async function () {
      if (isGap) this.skip();
      const result = await runScenario(stack, { scenario, seed, levels: ['all'], short: true });
      expect(violations(result)).to.deep.equal([]);
      expect(result.verdict.levels.all.acknowledged).to.be.above(300);
    });
  }
});
