// A connection to a Redis Cluster: ioredis must not refuse the first commands to a node.
import type { Cluster } from 'ioredis';
import { expect } from 'chai';
import { pino } from 'pino';
import { connectRedis, connectionAttempt } from '../../src/redis/connect.js';
import { startClusterStack } from '../support/stacks.js';
import type { Stack } from '../support/stacks.js';

describe('a connection to a Cluster', () => {
  let stack: Stack;
  before(async () => (stack = await startClusterStack()));
  after(() => stack.stop());

  it('takes the first commands, to all nodes at once', async () => {
    const redis = connectRedis({ url: stack.url, scripts: {}, log: pino({ level: 'silent' }) }) as Cluster;
    try {
      await connectionAttempt(redis);
      const keys = Array.from({ length: 60 }, (_, i) => `{${i}}`);
      const first = await Promise.allSettled(keys.map((key) => redis.get(key)));
      const failed = first.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
      expect(failed).to.deep.equal([]);
    } finally {
      redis.disconnect();
    }
  });
});
