// A short version of `npm run chaos` on a Sentinel stack: messages at `all` without faults, with jumps of Redis's clock and with
// several faults; messages at `quorum` and `all` during fail-overs of a live primary.
import { expect } from 'chai';
import { NO_CLOCK, clockLibrary } from '../../harness/clock.js';
import { violations } from '../../chaos/report.js';
import { runScenario, workersFor } from '../../chaos/run.js';
import { SCENARIOS } from '../../chaos/scenarios.js';
import { startSentinelStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';

/** A single round does not always reveal a loss: docs/durability.md reports twenty of each. */
const ROUNDS = 2;
const seed = Number(process.env.AIZUMI_TEST_SEED ?? Date.now() % 1e9);

describe(`acknowledged messages, on three Redis nodes and two workers (AIZUMI_TEST_SEED=${seed})`, function () {
  this.timeout(60_000);
  const clock = clockLibrary();
  let stack: Stack;

  before(async () => {
    stack = await startSentinelStack({ clock });
  });
  after(() => stack.stop());

  const scenarios: [string, string][] = [
    ['none', 'are delivered once and in order without faults'],
    ['redis-clock-back', "are kept when Redis's clock jumps back an hour and forward again"],
    ['short', 'are kept when connections break, the primary and a worker die, and clocks jump'],
  ];
  const failovers: [string, string][] = [
    ['stall-and-resume', 'are kept when the primary hangs and resumes the moment a replica is promoted'],
    ['sentinel-failover', 'are kept during SENTINEL FAILOVER without faults'],
    ['sentinel-failover-idle', 'are kept when an idle worker sends right after SENTINEL FAILOVER'],
  ];
  for (const [scenario, what] of failovers) {
    it(what, async () => {
      const workers = await workersFor(stack, scenario);
      try {
        for (let round = 0; round < ROUNDS; round++) {
          const options = { scenario, seed: seed + round, firstMessage: 1 + round * 100_000, workers, isRound: true };
          const result = await runScenario(stack, { ...options, levels: ['quorum', 'all'] });
          expect(violations(result), `seed ${seed + round}`).to.deep.equal([]);
          await stack.whole();
        }
      } finally {
        await Promise.all(workers.map((worker) => worker.stop()));
      }
    });
  }
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
