// Loaded by mocha before all tests (.mocharc.json).
import { stopSharedRedis } from './shared-redis.js';

export const mochaHooks = { afterAll: stopSharedRedis };
