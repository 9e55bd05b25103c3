import { Redis } from 'ioredis';
import { expect } from 'chai';
import { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { freePort, startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { until } from '../../harness/until.js';

describe('queue: in a slot of a Cluster that is being migrated', () => {
  let servers: TestServer[] = [];
  let queues: TestQueues;
  /** The node that has all slots, and the id of the one that slots are to be moved to. */
  let node: Redis;
  let targetId: string;

  before(async () => {
    const busPorts = [await freePort(), await freePort()];
    const start = (busPort: number): Promise<TestServer> =>
      startRedisServer({ args: ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)] });
    servers = await Promise.all(busPorts.map(start));
    node = new Redis(servers[0]!.url);
    const target = new Redis(servers[1]!.url);
    targetId = (await target.call('CLUSTER', 'MYID')) as string;
    target.disconnect();
    await node.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await node.call('CLUSTER', 'MEET', '127.0.0.1', servers[1]!.port, busPorts[1]!);
    const state = async (): Promise<string> => (await node.call('CLUSTER', 'INFO')) as string;
    await until('they have met', async () => (await state()).includes('cluster_known_nodes:2'));
    await until('the slots are covered', async () => (await state()).includes('cluster_state:ok'));
    queues = await openQueues({}, servers[0]);
  });
  after(async () => {
    node.disconnect();
    queues.close();
    await Promise.all(servers.map((server) => server.stop()));
  });

  const sendOnce = (): Promise<void> =>
    send(queues, 100, { saddr: 1, id: 7, payload: '"a"' }, { durability: 'primary', dedup: true });

  it('FREE of a message sent with dedup is done as a whole or not at all', async () => {
    const queue = `${queues.prefix}:{100}:queue`;
    const slot = await node.cluster('KEYSLOT', queue);
    await sendOnce();
    expect(await recv(queues, 100)).to.include({ id: 7 });
    await until('the target is known', () =>
      node.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId).catch(() => undefined),
    );
    const freed = await free(queues, 100, 7).catch((error: unknown) => error);
    await node.call('CLUSTER', 'SETSLOT', slot, 'STABLE');
    if (freed !== true) {
      expect(await node.xlen(queue), 'nothing was deleted').to.equal(1);
      expect(freed).to.be.instanceOf(BrokerError);
      expect(await free(queues, 100, 7)).to.equal(true);
    }
    await sendOnce();
    expect(await node.xlen(queue), 'a repeat adds nothing').to.equal(0);
  });
});
