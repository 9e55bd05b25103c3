// redis-cli's operations on a Redis Cluster under load: a node is added, receives slots, returns them and is removed.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Command } from 'ioredis';
import { expect } from 'chai';
import { ask, infoField } from '../../harness/ask.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { runBlock } from '../support/documents.js';
import { QueueLoad } from '../support/queue-load.js';
import { freePort, testServerProgram } from '../../harness/redis-server.js';
import { hasReplicas, startNode } from '../../harness/stack.js';
import { startClusterStack } from '../../harness/stacks.js';
import type { Stack, StackNode } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

const CLI = testServerProgram.replace(/-server$/, '-cli');
const CLI_MS = 60_000;
/** Slots in one reshard: the first of the first primary, where the queues are. */
const SLOTS = 20;
/** The weight of the new primary, relative to 1 for the others: some 27 slots. */
const SHARE = 0.005;

const WAYS = [
  { durability: 'primary' },
  { durability: 'quorum' },
  { durability: 'all' },
  { durability: 'primary', dedup: true },
  { durability: 'quorum', dedup: true },
];

const run = promisify(execFile);

describe('redis-cli --cluster', function () {
  this.timeout(180_000);
  let stack: Stack;
  let broker: TestBroker;
  const added: StackNode[] = [];

  before(async () => {
    stack = await startClusterStack();
    for (let i = 0; i < 2; i++) {
      const conf = `cluster-enabled yes\ncluster-node-timeout 1000\ncluster-port ${await freePort()}\ncluster-config-file nodes.conf\n`;
      added.push(await startNode(conf));
    }
    broker = await startBroker({ AIZUMI_REDIS_URL: stack.url });
  });
  after(async () => {
    await broker.stop();
    await Promise.all(added.map((node) => node.stop()));
    await stack.stop();
  });

  it('adds a node, reshards, rebalances and deletes it, while no message is lost, duplicated or reordered', async () => {
    const [first] = stack.nodes as [StackNode];
    const [primary, replica] = added as [StackNode, StackNode];
    const address = ({ port }: StackNode): string => `127.0.0.1:${port}`;
    const id = async ({ port }: StackNode): Promise<string> => String(await ask(port, 'CLUSTER', 'MYID'));
    const cluster = (...args: string[]): Promise<unknown> =>
      run(CLI, ['--cluster', ...args], { timeout: CLI_MS }).catch((error: unknown) => {
        // it writes errors to standard output
        throw new Error(`${args.join(' ')}: ${String((error as { stdout?: string }).stdout).slice(-2_000)}`);
      });
    const knowsEach = async ({ port }: StackNode, count: number): Promise<boolean> =>
      String(await ask(port, 'CLUSTER', 'INFO').catch(() => '')).includes(`cluster_known_nodes:${count}\r`);
    /**
     * Waits until every node knows all nodes and the same configuration, which redis-cli requires. Its check asks the nodes that
     * the first node knows, and these may not know the newest one yet.
     */
    const agreed = (...more: StackNode[]): Promise<unknown> => {
      const nodes = [...stack.nodes, ...more];
      return until(
        'all nodes agree',
        async () =>
          (await Promise.all(nodes.map((node) => knowsEach(node, nodes.length)))).every(Boolean) &&
          (await cluster('check', address(first)).then(
            () => true,
            () => false,
          )),
        20_000,
      );
    };

    const prefix = broker.config.keyPrefix;
    const isMoved = (queue: number): boolean => new Command('exists', [`${prefix}:{${queue}}:queue`]).getSlot() < SLOTS;
    const queues: number[] = [];
    for (let queue = 1; queues.length < WAYS.length; queue++) if (isMoved(queue)) queues.push(queue);
    const loads = WAYS.map((way, i) => new QueueLoad(broker.url, queues[i]!, way));
    loads.forEach((load) => load.start());
    await until('requests to all queues are answered', () => loads.every(({ answered }) => answered > 2), 10_000);

    // redis-cli writes to the new primary (FUNCTION RESTORE) before that has a replica
    await ask(primary.port, 'CONFIG', 'SET', 'min-replicas-to-write', 0);
    await cluster('add-node', address(primary), address(first));
    await agreed(primary);
    await cluster(
      'add-node',
      address(replica),
      address(first),
      '--cluster-slave',
      '--cluster-master-id',
      await id(primary),
    );
    await until('the new primary has its replica', () => hasReplicas(primary, 1).catch(() => false), 20_000);
    await ask(primary.port, 'CONFIG', 'SET', 'min-replicas-to-write', 1);
    await agreed(primary, replica);
    const [of, to] = [await id(first), await id(primary)];
    const reshard = (from: string, target: string): Promise<unknown> =>
      cluster(
        'reshard',
        address(first),
        '--cluster-from',
        from,
        '--cluster-to',
        target,
        '--cluster-slots',
        String(SLOTS),
        '--cluster-yes',
      );
    await reshard(of, to);
    const offset = Number(await infoField(primary.port, 'replication', 'master_repl_offset'));
    const waited = await runBlock('await-replicas', { replace: { '-h TARGET': `-p ${primary.port}` } });
    expect(waited.code, waited.output).to.equal(0);
    const reported = await infoField(primary.port, 'replication', 'slave0');
    expect(Number(/offset=(\d+)/.exec(reported!)?.[1])).to.be.at.least(offset);
    await agreed(primary, replica);
    await reshard(to, of);
    await agreed(primary, replica);
    await cluster('rebalance', address(first), '--cluster-weight', `${to}=${SHARE}`, '--cluster-use-empty-masters');
    await agreed(primary, replica);
    await cluster('rebalance', address(first), '--cluster-weight', `${to}=0`);
    await agreed(primary, replica);
    await cluster('del-node', address(first), await id(replica));
    await cluster('del-node', address(first), to);

    const verdicts = await Promise.all(loads.map((load) => load.end()));
    if (process.env.AIZUMI_TEST_SHOW !== undefined) console.log(verdicts);
    for (const { lost, doubled, reordered, unexpected } of verdicts)
      expect({ lost, doubled, reordered, unexpected }).to.deep.equal({
        lost: [],
        doubled: [],
        reordered: [],
        unexpected: {},
      });
  });

  it('fails over to a replica with the command in docs/operations.md', async () => {
    await stack.whole();
    const replica = await stack.replica();
    const replace = { '-h REPLICA': `-p ${replica.port}` };
    await until(
      'the replica is primary',
      async () => (await runBlock('cluster-failover', { replace })).output.includes('master'),
      20_000,
    );
    await stack.whole();
    expect(await stack.primary()).to.equal(replica);
  });
});
