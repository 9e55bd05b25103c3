// A connection that Sentinels lead: to the primary of the latest fail-over that any of them knows of, and away from any other.
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

/** Sentinel makes a primary that was replaced a replica after 8 s: until then it takes writes. */
const TAKEN_FOR_PRIMARY_MS = 8_000;
/** Well before that. */
const FOLLOWED_MS = 2_000;

describe('a connection by Sentinel', function () {
  this.timeout(60_000);
  let stack: Stack;
  const connections: Redis[] = [];

  before(async () => {
    stack = await startSentinelStack({ replicas: 1 });
  });
  afterEach(async () => {
    for (const redis of connections.splice(0)) redis.disconnect();
    for (const sentinel of stack.sentinels) sentinel.resume();
    // sooner than the Sentinels do
    const { port } = await until('they agree', () => stack.primary().catch(() => undefined), 10_000);
    for (const node of stack.nodes) if (node.port !== port) await ask(node.port, 'REPLICAOF', '127.0.0.1', port);
    await stack.whole();
  });
  after(() => stack.stop());

  /** @param ports of Sentinels that are named before the others */
  function open(...ports: number[]): Redis {
    const named = [...ports, ...stack.sentinels.map(({ port }) => port)].map((port) => `127.0.0.1:${port}`);
    const redis = openPrimary(parseRedisAddress(`redis+sentinel://${named.join(',')}/mymaster`) as SentinelAddress, {});
    connections.push(redis);
    return redis.on('error', () => undefined);
  }

  const portOf = (redis: Redis): number | undefined => (redis.status === 'ready' ? redis.stream.remotePort : undefined);

  /** By hand: the old primary is well, and does not know yet that it was replaced. @returns the old one */
  async function failOver(): Promise<StackNode> {
    const old = await stack.primary();
    await ask(stack.sentinels[0]!.port, 'SENTINEL', 'FAILOVER', 'mymaster');
    await until('another is primary', async () => (await stack.primary().catch(() => old)) !== old, 10_000);
    return old;
  }

  it('follows a fail-over while the old primary still takes itself for one', async () => {
    const redis = open();
    await until('connected', () => portOf(redis));
    const old = await failOver();
    const since = performance.now();
    await until('it follows', () => ![undefined, old.port].includes(portOf(redis)), TAKEN_FOR_PRIMARY_MS);
    expect(performance.now() - since).to.be.below(patient(FOLLOWED_MS));
    expect(await old.role()).to.equal('primary');
  });

  /** One more Sentinel, that never hears of a fail-over: it may not listen where they tell each other. */
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

  it('is not led back by a Sentinel that has not heard of the fail-over', async () => {
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

  it('needs only one Sentinel, and waits for no other', async () => {
    const [hung, alsoHung] = stack.sentinels as [TestServer, TestServer];
    for (const sentinel of [hung, alsoHung]) sentinel.pause();
    const since = performance.now();
    const redis = open(await freePort());
    await until('connected', () => portOf(redis));
    expect(performance.now() - since).to.be.below(patient(1_000));
  });

  it('comes when Sentinels do, and not after it was closed', async () => {
    for (const sentinel of stack.sentinels) sentinel.pause();
    const [redis, closed] = [open(), open()];
    await until(
      'it has looked for the primary',
      () => new Promise((resolve) => redis.once('error', () => resolve(true))),
    );
    closed.disconnect();
    for (const sentinel of stack.sentinels) sentinel.resume();
    await until('connected', () => portOf(redis));
    await pause(300);
    expect(closed.status).to.equal('end');
  });
});
