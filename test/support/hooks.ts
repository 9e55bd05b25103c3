// Loaded by mocha before all tests (.mocharc.json); with --parallel by each of its processes, and afterAll is after each file.
import { stopSharedRedis } from './shared-redis.js';

export const mochaHooks = { afterAll: stopSharedRedis };
