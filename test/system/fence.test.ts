// A majority that follows a replaced primary does not count: no message acknowledged at `quorum` or `all` is lost, whoever starts
// the fail-over and whenever the old primary resumes; and a level that cannot be guaranteed is refused.
import { expect } from 'chai';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { ask, infoField } from '../../harness/ask.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { sendRequest, statRequest } from '../../harness/requests.js';
import { startClusterStack, startSentinelStack } from '../../harness/stacks.js';
import type { Stack, StackNode } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';
import { Membership } from '../../src/redis/replication/membership.js';
import { parseRedisAddress } from '../../src/config/redis-url.js';
import type { SentinelAddress } from '../../src/config/redis-url.js';

type Level = 'quorum' | 'all';
const LEVELS: readonly Level[] = ['quorum', 'all'];

let nextId = 1;

interface Sent {
  id: number;
  status: number;
  reason: string | undefined;
  tookMs: number;
}

async function send(broker: BrokerProcess, durability: Level | 'primary', to = 100): Promise<Sent> {
  const id = nextId++;
  const sinceMs = performance.now();
  const { status, json } = await broker.post({ ...sendRequest(to, id), durability });
  const reason = (json.error as { reason: string } | undefined)?.reason;
  return { id, status, reason, tookMs: performance.now() - sinceMs };
}

async function startBroker(stack: Stack, env: Record<string, string> = {}): Promise<BrokerProcess> {
  const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: stack.url, ...env });
  await until('the broker serves requests', async () => (await broker.post(statRequest(1))).status === 200);
  return broker;
}

/** Ids of the messages in the queue on a node. */
async function idsOn({ port }: StackNode, address = 100): Promise<Set<number>> {
  const entries = (await ask(port, 'XRANGE', `aizumi:{${address}}:queue`, '-', '+')) as [string, string[]][];
  return new Set(entries.map(([, fields]) => Number(fields[3])));
}

const isPrimary = async (node: StackNode): Promise<boolean> => (await node.role()) === 'primary';

/** Resolves when a node other than `old` reports itself as primary. */
const promoted = (stack: Stack, old: StackNode): Promise<StackNode> =>
  until(
    'another node is promoted',
    async () => {
      const others = stack.nodes.filter((node) => node !== old);
      const leads = await Promise.all(others.map(isPrimary));
      return others.find((_, i) => leads[i]);
    },
    15_000,
  );

/** Sends at both levels until it is stopped. @returns the acknowledged ids */
function startSending(broker: BrokerProcess): { acknowledged: number[]; stop(): Promise<void> } {
  const acknowledged: number[] = [];
  let stopped = false;
  const senders = Array.from({ length: 8 }, async (_, i) => {
    while (!stopped) {
      const { id, status } = await send(broker, LEVELS[i % 2]!);
      if (status === 200) acknowledged.push(id);
      await pause(5);
    }
  });
  return {
    acknowledged,
    async stop() {
      stopped = true;
      await Promise.all(senders);
    },
  };
}

describe('the fence under Sentinels', function () {
  this.timeout(90_000);
  let stack: Stack;

  before(async () => (stack = await startSentinelStack()));
  after(() => stack.stop());
  afterEach(async () => {
    endAllProcesses();
    for (const server of [...stack.nodes, ...stack.sentinels]) server.resume();
    await stack.whole(60_000);
  });

  async function expectKept(acknowledged: readonly number[], broker: BrokerProcess): Promise<void> {
    await until('quorum is acknowledged', async () => (await send(broker, 'quorum')).status === 200, 30_000);
    const kept = await idsOn(await stack.primary());
    expect(
      acknowledged.filter((id) => !kept.has(id)),
      `lost of ${acknowledged.length}`,
    ).to.deep.equal([]);
    expect(acknowledged.length).to.be.above(20);
  }

  it('reconnects to a Sentinel whose connection hangs, as after a lost packet', async () => {
    let opened = 0;
    let isLossy = false;
    const sockets: Socket[] = [];
    const proxies = await Promise.all(
      stack.sentinels.map(async ({ port }) => {
        const proxy = createServer((socket) => {
          sockets.push(socket.on('error', () => undefined));
          if (isLossy && opened++ % 2 === 0) return;
          const sentinel = connect(port, '127.0.0.1').on('error', () => undefined);
          socket.pipe(sentinel).pipe(socket);
        }).listen(0, '127.0.0.1');
        await once(proxy, 'listening');
        return proxy;
      }),
    );
    const hosts = proxies.map((proxy) => `127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    const broker = await startBroker(stack, {
      AIZUMI_REDIS_URL: `redis+sentinel://${hosts.join(',')}/mymaster`,
      AIZUMI_DURABILITY_TIMEOUT_MS: '10000',
    });
    const primary = await stack.primary();
    const hung = stack.nodes.find((node) => node !== primary)!;
    hung.pause();
    isLossy = true;
    sockets.forEach((socket) => socket.destroy());
    try {
      for (let i = 0; i < 20; i++) expect((await send(broker, 'quorum')).status).to.equal(200);
      expect(opened, 'Sentinels were asked').to.be.above(3);
    } finally {
      hung.resume();
      proxies.forEach((proxy) => proxy.close());
    }
  });

  it('holds when the primary hangs and resumes the moment another node is promoted', async () => {
    const broker = await startBroker(stack, { AIZUMI_REPLICATION_NODES: '3' });
    const old = await stack.primary();
    const sending = startSending(broker);
    await until('enough messages are acknowledged', () => sending.acknowledged.length > 40, 20_000);
    old.pause();
    await promoted(stack, old);
    old.resume();
    await pause(1_500);
    await sending.stop();
    await expectKept(sending.acknowledged, broker);
  });

  it('holds during a fail-over that is requested without any fault, also for an idle worker', async () => {
    const [busy, idle] = [await startBroker(stack), await startBroker(stack)];
    for (const level of LEVELS) expect((await send(idle, level)).status).to.equal(200);
    const old = await stack.primary();
    const sending = startSending(busy);
    await until('enough messages are acknowledged', () => sending.acknowledged.length > 40, 20_000);
    await ask(stack.sentinels[0]!.port, 'SENTINEL', 'FAILOVER', 'mymaster');
    await promoted(stack, old);
    for (let i = 0; i < 20; i++) {
      const { id, status } = await send(idle, LEVELS[i % 2]!);
      if (status === 200) sending.acknowledged.push(id);
    }
    await sending.stop();
    await expectKept(sending.acknowledged, busy);
  });

  it('holds when a hung replica resumes the moment the other one is promoted', async () => {
    const broker = await startBroker(stack);
    const old = await stack.primary();
    const [hung, promotes] = stack.nodes.filter((node) => node !== old) as [StackNode, StackNode];
    await ask(hung.port, 'CONFIG', 'SET', 'replica-priority', '200');
    try {
      const sending = startSending(broker);
      await until('enough messages are acknowledged', () => sending.acknowledged.length > 40, 20_000);
      hung.pause();
      await pause(3_500); // longer than AIZUMI_REPLICA_MAX_LAG_MS, so that `all` no longer needs the hung replica
      await ask(stack.sentinels[0]!.port, 'SENTINEL', 'FAILOVER', 'mymaster');
      expect(await promoted(stack, old)).to.equal(promotes);
      hung.resume();
      await pause(1_000);
      await sending.stop();
      await expectKept(sending.acknowledged, broker);
    } finally {
      for (const node of stack.nodes)
        await ask(node.port, 'CONFIG', 'SET', 'replica-priority', '100').catch(() => undefined);
    }
  });

  it('counts the nodes that the primary lists if the Sentinels have just been reset', async () => {
    for (const { port } of stack.sentinels) await ask(port, 'SENTINEL', 'RESET', 'mymaster');
    const primary = await stack.primary();
    const replicas = stack.nodes.filter((node) => node !== primary);
    replicas.forEach((replica) => replica.pause());
    const broker = await startBroker(stack);
    for (let i = 0; i < 6; i++) expect((await send(broker, LEVELS[i % 2]!)).status).to.equal(503);
  });

  it('treats a primary as the only node only after the Sentinels have known it for a while', async () => {
    const primary = await stack.primary();
    const replicas = stack.nodes.filter((node) => node !== primary);
    for (const replica of replicas) await replica.kill9();
    await until(
      'the primary has no replica',
      async () => (await infoField(primary.port, 'replication', 'connected_slaves')) === '0',
    );
    for (const { port } of stack.sentinels) await ask(port, 'SENTINEL', 'RESET', 'mymaster');
    await ask(primary.port, 'CONFIG', 'SET', 'min-replicas-to-write', '0');
    try {
      const broker = await startBroker(stack);
      const { status, reason } = await send(broker, 'quorum');
      expect([status, reason]).to.deep.equal([503, 'unavailable']);
    } finally {
      await ask(primary.port, 'CONFIG', 'SET', 'min-replicas-to-write', '1');
      for (const replica of replicas) await replica.restart();
    }
  });

  it('lets SENDs at quorum through while a replica hangs and a SEND at all waits for it', async () => {
    const broker = await startBroker(stack, { AIZUMI_REPLICA_MAX_LAG_MS: '60000' });
    for (const level of LEVELS) expect((await send(broker, level)).status).to.equal(200);
    (await stack.replica()).pause();
    const first = await send(broker, 'quorum');
    expect(first.status, first.reason).to.equal(200);
    const waiting = { answered: false };
    const atAll = send(broker, 'all').finally(() => (waiting.answered = true));
    let meanwhile = 0;
    while (!waiting.answered) {
      const { status } = await send(broker, 'quorum');
      expect(status).to.equal(200);
      meanwhile += 1;
    }
    expect((await atAll).reason).to.equal('not_durable');
    expect(meanwhile, 'sent at quorum, one after the other, while all waited').to.be.above(3);
  });

  it('refuses quorum and all while a replica keeps nothing on disk', async () => {
    const replica = await stack.replica();
    await ask(replica.port, 'CONFIG', 'SET', 'appendonly', 'no');
    const broker = await startBroker(stack);
    for (const level of LEVELS) {
      const { status, reason } = await send(broker, level);
      expect([status, reason]).to.deep.equal([503, 'durability_unavailable']);
    }
    expect((await send(broker, 'primary')).status).to.equal(200);
    expect(broker.lines('a Redis node keeps nothing on disk').map(({ node }) => node)).to.deep.equal([
      `127.0.0.1:${replica.port}`,
    ]);
    await ask(replica.port, 'CONFIG', 'SET', 'appendonly', 'yes');
    await until('the change is noticed', async () => (await send(broker, 'quorum')).status === 200, 20_000);
  });
});

describe('the count of nodes under Sentinels', function () {
  this.timeout(90_000);
  const GONE_MS = 3_000;
  let stack: Stack;
  before(async () => (stack = await startSentinelStack()));
  after(() => stack.stop());

  it('shrinks only after a replica has long been missing from the primary and from all Sentinels', async () => {
    const address = parseRedisAddress(stack.url) as SentinelAddress;
    const membership = new Membership(address, GONE_MS);
    const primary = await stack.primary();
    const look = async (): Promise<number | undefined> => {
      membership.learnFromInfo(String(await ask(primary.port, 'INFO', 'replication')));
      await membership.learnFromSentinels(address).catch(() => undefined);
      return membership.nodes('');
    };
    const reset = (): Promise<unknown> =>
      Promise.all(stack.sentinels.map(({ port }) => ask(port, 'SENTINEL', 'RESET', 'mymaster')));
    const named = async (): Promise<number[]> =>
      Promise.all(
        stack.sentinels.map(
          async ({ port }) => ((await ask(port, 'SENTINEL', 'REPLICAS', 'mymaster')) as unknown[]).length,
        ),
      );
    const other = await startRedisServer({ args: ['--replicaof', '127.0.0.1', String(primary.port)] });
    try {
      await until('four nodes are counted', async () => (await look()) === 4, 30_000);
      await other.kill9();
      await until('the primary has noticed the loss', async () => {
        await look();
        return (await infoField(primary.port, 'replication', 'connected_slaves')) === '2';
      });
      expect(await look(), 'dead, and known to the Sentinels').to.equal(4);
      await reset();
      await until(
        'the Sentinels list the other replicas',
        async () => (await named()).every((count) => count === 2),
        30_000,
      );
      expect(await look(), 'not at once').to.equal(4);
      const sinceMs = performance.now();
      await until('the replica is no longer counted', async () => (await look()) === 3, 30_000);
      expect(performance.now() - sinceMs).to.be.above(GONE_MS - 1_000);
      expect(membership.hosts('').map(({ port }) => port)).not.to.include(other.port);
    } finally {
      await other.stop();
    }
  });

  it('does not shrink while a Sentinel does not answer, or the primary lists fewer nodes than the Sentinels', async () => {
    const address = parseRedisAddress(stack.url) as SentinelAddress;
    const membership = new Membership(address, 0);
    const primary = await stack.primary();
    const info = String(await ask(primary.port, 'INFO', 'replication'));
    const look = async (text: string): Promise<number | undefined> => {
      membership.learnFromInfo(text);
      await membership.learnFromSentinels(address);
      return membership.nodes('');
    };
    membership.learnFromInfo(
      info.replace(/^slave0/m, 'slave8:ip=127.0.0.9,port=1,state=online,offset=1,lag=1\nslave0'),
    );
    expect(membership.nodes('')).to.equal(4);
    stack.sentinels[0]!.pause();
    try {
      expect(await look(info)).to.equal(4);
    } finally {
      stack.sentinels[0]!.resume();
    }
    expect(await look(info.replace(/^slave0.*$/m, ''))).to.equal(4);
    expect(await look(info)).to.equal(3);
  });
});

describe('the fence with a single Redis', function () {
  this.timeout(30_000);

  it('refuses quorum and all while Redis keeps nothing on disk', async () => {
    const redis = await startRedisServer({ args: ['--appendonly', 'no'] });
    try {
      const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: redis.url });
      for (const level of LEVELS) expect((await send(broker, level)).reason).to.equal('durability_unavailable');
      expect((await send(broker, 'primary')).status).to.equal(200);
      await ask(redis.port, 'CONFIG', 'SET', 'appendonly', 'yes');
      await until('the change is noticed', async () => (await send(broker, 'all')).status === 200, 10_000);
    } finally {
      endAllProcesses();
      await redis.stop();
    }
  });
});

describe('the fence in a Cluster', function () {
  this.timeout(120_000);
  let stack: Stack;

  before(async () => (stack = await startClusterStack({ replicasEach: 2 })));
  after(() => stack.stop());

  it('counts a failed primary only for its own shard: another shard tolerates the loss of a replica', async () => {
    const broker = await startBroker(stack);
    const lost = await stack.primary();
    // an address of another shard
    const shardOf = async (address: number): Promise<number> =>
      Math.floor((Number(await ask(lost.port, 'CLUSTER', 'KEYSLOT', String(address))) * 3) / 16_384);
    let other = 100;
    while ((await shardOf(other)) === 0) other += 1;
    expect((await send(broker, 'quorum', other)).status).to.equal(200);
    await lost.kill9();
    await promoted(stack, lost);
    await pause(6_000); // the worker counts the nodes every 5 s
    await lost.restart();
    await stack.whole(60_000);
    const ofOther = stack.nodes[await shardOf(other)]!;
    const { port } = ofOther;
    const replicas = [];
    for (const node of stack.nodes)
      if ((await infoField(node.port, 'replication', 'master_port')) === String(port)) replicas.push(node);
    expect(replicas).to.have.length(2);
    replicas[0]!.pause();
    try {
      const replies = [];
      for (let i = 0; i < 3; i++) replies.push(await send(broker, 'quorum', other));
      expect(replies.map(({ status, reason }) => [status, reason])).to.deep.equal([
        [200, undefined],
        [200, undefined],
        [200, undefined],
      ]);
    } finally {
      replicas[0]!.resume();
      endAllProcesses();
    }
  });
});
