// A connection through Sentinels: to the primary of the latest fail-over that any Sentinel knows of, and to no other.
import { expect } from 'chai';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { parseRedisAddress } from '../../src/config/redis-url.js';
import type { SentinelAddress } from '../../src/config/redis-url.js';
import { openPrimary } from '../../src/redis/connect/primary.js';
import { ask } from '../../harness/ask.js';
import { freePort, startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { startSentinelStack } from '../../harness/stacks.js';
import type { Stack, StackNode } from '../../harness/stacks.js';
import { patient } from '../../harness/patience.js';
import { until } from '../../harness/until.js';

/** Sentinel demotes a replaced primary after 8 s: until then it accepts writes. */
const TAKEN_FOR_PRIMARY_MS = 8_000;
/** Well below these 8 s. */
const FOLLOWED_MS = 2_000;

describe('a connection through Sentinels', function () {
  this.timeout(60_000);
  let stack: Stack;
  const connections: Redis[] = [];

  before(async () => {
    stack = await startSentinelStack({ replicas: 1 });
  });
  afterEach(async () => {
    for (const redis of connections.splice(0)) redis.disconnect();
    for (const sentinel of stack.sentinels) sentinel.resume();
    // makes the nodes follow the new primary sooner than the Sentinels would
    const { port } = await until('the Sentinels agree', () => stack.primary().catch(() => undefined), 10_000);
    for (const node of stack.nodes) if (node.port !== port) await ask(node.port, 'REPLICAOF', '127.0.0.1', port);
    await stack.whole();
  });
  after(() => stack.stop());

  /** @param ports of Sentinels to be listed before the others */
  function open(...ports: number[]): Redis {
    const named = [...ports, ...stack.sentinels.map(({ port }) => port)].map((port) => `127.0.0.1:${port}`);
    const redis = openPrimary(parseRedisAddress(`redis+sentinel://${named.join(',')}/mymaster`) as SentinelAddress, {});
    connections.push(redis);
    return redis.on('error', () => undefined);
  }

  const portOf = (redis: Redis): number | undefined => (redis.status === 'ready' ? redis.stream.remotePort : undefined);

  /** Fails over by hand: the old primary runs on, and does not know yet that it was replaced. @returns the old primary */
  async function failOver(): Promise<StackNode> {
    const old = await stack.primary();
    await ask(stack.sentinels[0]!.port, 'SENTINEL', 'FAILOVER', 'mymaster');
    await until('another node is primary', async () => (await stack.primary().catch(() => old)) !== old, 10_000);
    return old;
  }

  it('follows a fail-over while the old primary still acts as a primary', async () => {
    const redis = open();
    await until('connected', () => portOf(redis));
    const old = await failOver();
    const since = performance.now();
    await until(
      'the connection is to the new primary',
      () => ![undefined, old.port].includes(portOf(redis)),
      TAKEN_FOR_PRIMARY_MS,
    );
    expect(performance.now() - since).to.be.below(patient(FOLLOWED_MS));
    expect(await old.role()).to.equal('primary');
  });

  /** One more Sentinel that never learns of a fail-over: it may not subscribe to the channel that Sentinels use. */
  async function startDeafSentinel(): Promise<TestServer> {
    for (const { port } of stack.nodes)
      await ask(port, 'ACL', 'SETUSER', 'deaf', 'on', '>secret', '+@all', 'resetchannels');
    const conf = [
      `sentinel monitor mymaster 127.0.0.1 ${(await stack.primary()).port} 2`,
      'sentinel auth-user mymaster deaf',
      'sentinel auth-pass mymaster secret\n',
    ].join('\n');
    return startRedisServer({ conf, args: ['--sentinel'] });
  }

  it('does not return to the old primary because of a Sentinel that has not learned of the fail-over', async () => {
    const deaf = await startDeafSentinel();
    try {
      const old = await failOver();
      const { port } = await stack.primary();
      const redis = open(deaf.port);
      for (let i = 0; i < 3; i++) {
        await until('connected', () => portOf(redis));
        expect(portOf(redis)).to.equal(port);
        redis.stream.destroy();
        await until('disconnected', () => redis.status !== 'ready');
      }
      const named = (await ask(deaf.port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')) as string[];
      expect(Number(named[1]), 'it has not heard').to.equal(old.port);
      expect(await old.role(), 'nor has the old primary').to.equal('primary');
    } finally {
      await deaf.stop();
    }
  });

  it('needs only one Sentinel, and does not wait for others', async () => {
    const [hung, alsoHung] = stack.sentinels as [TestServer, TestServer];
    for (const sentinel of [hung, alsoHung]) sentinel.pause();
    const since = performance.now();
    const redis = open(await freePort());
    await until('connected', () => portOf(redis));
    expect(performance.now() - since).to.be.below(patient(1_000));
  });

  it('is opened once Sentinels are up, but not after it was closed', async () => {
    for (const sentinel of stack.sentinels) sentinel.pause();
    const [redis, closed] = [open(), open()];
    await until(
      'it has asked for the primary',
      () => new Promise((resolve) => redis.once('error', () => resolve(true))),
    );
    closed.disconnect();
    for (const sentinel of stack.sentinels) sentinel.resume();
    await until('connected', () => portOf(redis));
    await pause(300);
    expect(closed.status).to.equal('end');
  });
});
