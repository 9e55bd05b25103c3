// The short version of `npm run chaos`: a Sentinel stack, messages at `all`, in peace, over jumps of Redis's clock and under
// several faults; messages at `quorum` and `all` over fail-overs of a primary that lives.
import { expect } from 'chai';
import { NO_CLOCK, clockLibrary } from '../../harness/clock.js';
import { violations } from '../../chaos/report.js';
import { runScenario, workersFor } from '../../chaos/run.js';
import { SCENARIOS } from '../../chaos/scenarios.js';
import { startSentinelStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';

/** One alone does not always lose what there is to lose: docs/durability.md has twenty of each. */
const ROUNDS = 2;
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
  const failovers: [string, string][] = [
    ['stall-and-resume', 'are kept when the primary stalls and is back the moment a replica leads'],
    ['sentinel-failover', 'are kept over SENTINEL FAILOVER while all is well'],
    ['sentinel-failover-idle', 'are kept when a worker that was idle sends behind SENTINEL FAILOVER'],
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
