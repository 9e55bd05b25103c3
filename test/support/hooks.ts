// Loaded by mocha before all tests (.mocharc.json); with --parallel by each of its processes, and afterAll is after each file.
import { patient } from '../../harness/patience.js';
import { stopSharedRedis } from '../../harness/shared-redis.js';

export const mochaHooks: Mocha.RootHookObject = {
  beforeEach(this: Mocha.Context) {
    const { currentTest } = this;
    currentTest?.timeout(patient(currentTest.timeout()));
  },
  afterAll: stopSharedRedis,
};
