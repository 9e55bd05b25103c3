// A connection to a Redis Cluster: ioredis must not refuse the first commands to a node; each primary has its own note of followers.
import type { Cluster } from 'ioredis';
import { expect } from 'chai';
import { pino } from 'pino';
import { connectRedis, connectionAttempt } from '../../src/redis/connect/connect.js';
import { parseRedisAddress } from '../../src/config/redis-url.js';
import { caughtUpKey } from '../../src/redis/replication/lineage.js';
import { ReplicationWatch } from '../../src/redis/replication/replication.js';
import { ask, infoField } from '../../harness/ask.js';
import { startClusterStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

describe('a connection to a Cluster', () => {
  let stack: Stack;
  before(async () => (stack = await startClusterStack()));
  after(() => stack.stop());

  it('takes the first commands, to all nodes at once', async () => {
    const redis = connectRedis({ url: stack.url, scripts: {}, keepMs: 0, log: pino({ level: 'silent' }) }) as Cluster;
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

  it('has a note on each primary that its replicas have followed it, in a slot of its own', async () => {
    const log = pino({ level: 'silent' });
    const redis = connectRedis({ url: stack.url, scripts: {}, keepMs: 0, log }) as Cluster;
    const options = { nodes: undefined, maxLagMs: 3_000, keyPrefix: 'aizumi', onNewLineage: () => undefined, log };
    const watch = new ReplicationWatch(redis, { ...options, address: parseRedisAddress(stack.url) });
    try {
      await connectionAttempt(redis);
      const keys = stack.nodes.slice(0, 3).map(({ port }) => caughtUpKey('aizumi', redis, `127.0.0.1:${port}`));
      expect(new Set(keys).size).to.equal(3);
      for (const [i, { port }] of stack.nodes.slice(0, 3).entries()) {
        const isNoted = async (): Promise<boolean> =>
          (await ask(port, 'GET', keys[i]!)) === (await infoField(port, 'replication', 'master_replid'));
        // replicas confirm an offset above 0 once there was something to replicate
        await ask(port, 'SET', `${keys[i]}:something`, 'written');
        await until('the primary has its note', isNoted);
      }
    } finally {
      watch.stop();
      redis.disconnect();
    }
  });
});
