// A connection that the Sentinels lead: ioredis must not give it up for good.
import type { Redis } from 'ioredis';
import { parseRedisAddress } from '../../src/redis-address.js';
import type { SentinelAddress } from '../../src/redis-address.js';
import { openPrimary } from '../../src/redis/primary.js';
import { startSentinelStack } from '../support/stacks.js';
import type { Stack } from '../support/stacks.js';
import { until } from '../support/until.js';

describe('a connection by Sentinel', () => {
  let stack: Stack;
  let redis: Redis;
  before(async () => {
    stack = await startSentinelStack({ replicas: 1 });
    redis = openPrimary(parseRedisAddress(stack.url) as SentinelAddress, {});
    redis.on('error', () => undefined);
  });
  after(async () => {
    redis.disconnect();
    await stack.stop();
  });

  it('comes back when the news of a fail-over arrives while it looks for the primary', async () => {
    const { connector } = redis as unknown as { connector: { failoverDetector?: { disconnect(): void } } };
    await until('connected, and subscribed to the news', () => redis.status === 'ready' && connector.failoverDetector);
    redis.stream.destroy();
    await until('it looks for the primary', () => redis.status === 'connecting');
    connector.failoverDetector!.disconnect();
    await until('it is given up', () => redis.status === 'end');
    await until('it is back', () => redis.status === 'ready');
  });
});
