import { expect } from 'chai';
import type { Cluster } from 'ioredis';
import { pino } from 'pino';
import type { ClusterAddress } from '../../src/config/redis-url.js';
import { replicasFor } from '../../src/redis/replication/durable-writes.js';
import { caughtUpReplicasIn, lineageIn, isCaughtUp } from '../../src/redis/replication/lineage.js';
import { ReplicationWatch, replicasIn } from '../../src/redis/replication/replication.js';
import { ShardMemory } from '../../src/redis/replication/shards.js';

/** INFO as printed by Redis 7.0, Redis 8.6 and Valkey 9.1. */
const DIALECTS: Record<string, string> = {
  'Redis 7.0': '',
  'Redis 8.6': ',io-thread=0',
  'Valkey 9.1': ',type=replica',
};

const info = (replicas: string[]): string =>
  [
    '# Replication',
    'role:master',
    `connected_slaves:${replicas.length}`,
    ...replicas.map((replica, i) => `slave${i}:ip=127.0.0.1,port=${17101 + i},${replica}`),
    'replicas_waiting_psync:0',
    'master_failover_state:no-failover',
    'master_replid:0a6ee8a4d3cbd7ea5d2e1b31ad1c1b9fa8d6e3b4',
    'master_repl_offset:140',
    'second_repl_offset:-1',
    'repl_backlog_active:1',
    '',
  ].join('\r\n');

describe('redis/replication: INFO replication', () => {
  for (const [server, more] of Object.entries(DIALECTS))
    describe(`of ${server}`, () => {
      const replica = (state: string, lag: number): string => `state=${state},offset=140,lag=${lag}${more}`;

      it('may have no replica', () => expect(replicasIn(info([]), 3_000)).to.deep.equal({ inSync: 0, offsets: [] }));

      it('has online replicas, which count as in sync', () =>
        expect(replicasIn(info([replica('online', 0), replica('online', 1)]), 3_000)).to.deep.equal({
          inSync: 2,
          offsets: [140, 140],
        }));

      for (const state of ['wait_bgsave', 'send_bulk', 'send_bulk_and_stream', 'bg_transfer', 'rdb_transmitted'])
        it(`has a replica that is still receiving a full copy, and does not count: ${state}`, () =>
          expect(replicasIn(info([replica('online', 0), replica(state, 0)]), 3_000)).to.deep.equal({
            inSync: 1,
            offsets: [140],
          }));

      it('has replicas that confirmed too long ago, and do not count', () => {
        const text = info([1, 2, 3, 4, 100].map((lag) => replica('online', lag)));
        for (const [maxLagMs, inSync] of [
          [3_000, 2],
          [3_001, 3],
          [600_000, 5],
        ] as const)
          expect(replicasIn(text, maxLagMs).inSync).to.equal(inSync);
      });

      it('has replicas whose last report is in the future, after the clock was set back: they count', () =>
        expect(replicasIn(info([replica('online', -3_600)]), 3_000)).to.deep.equal({ inSync: 1, offsets: [140] }));

      it('has each replica once, and none for a client that only receives a snapshot', () => {
        const copy = info([replica('online', 0)]).replace('port=17101', 'port=0');
        expect(replicasIn(copy, 3_000)).to.deep.equal({ inSync: 0, offsets: [] });
        const twice = info([replica('online', 0), replica('online', 0)]).replace('port=17102', 'port=17101');
        expect(replicasIn(twice, 3_000)).to.deep.equal({ inSync: 1, offsets: [140] });
      });

      it('has replicas that have confirmed an offset of its replication lineage', () => {
        const fresh = replica('online', 0).replace('offset=140', 'offset=0');
        expect(caughtUpReplicasIn(info([replica('online', 0), fresh, replica('send_bulk', 0)]))).to.equal(1);
      });

      it('may have more than ten replicas', () =>
        expect(replicasIn(info(Array.from({ length: 12 }, () => replica('online', 0))), 3_000)).to.deep.equal({
          inSync: 12,
          offsets: Array.from({ length: 12 }, () => 140),
        }));
    });

  it('names the replication lineage and the previous one', () => {
    const [id, before] = ['0a6ee8a4d3cbd7ea5d2e1b31ad1c1b9fa8d6e3b4', '1b7ee8a4d3cbd7ea5d2e1b31ad1c1b9fa8d6e3b5'];
    const text = info([]).replace('master_repl_offset', `master_replid2:${before}\r\nmaster_repl_offset`);
    expect(lineageIn(text)).to.deep.equal({ id, before });
    expect(isCaughtUp(id, { id, before })).to.equal(true);
    expect(isCaughtUp(before, { id, before }), 'a promoted replica').to.equal(true);
    expect(isCaughtUp('another', { id, before }), 'a restarted primary').to.equal(false);
    expect(isCaughtUp(null, { id, before }), 'never noted').to.equal(false);
  });

  it('of a replica has no lineage of its own', () => {
    const text = [
      '# Replication',
      'role:slave',
      'master_host:127.0.0.1',
      'master_port:17100',
      'master_link_status:up',
      'slave_read_repl_offset:140',
      'slave_repl_offset:140',
      'slave_priority:100',
      'slave_read_only:1',
      'connected_slaves:0',
      '',
    ].join('\r\n');
    expect(replicasIn(text, 3_000)).to.deep.equal({ inSync: 0, offsets: [] });
  });
});

/** Output of `redis-cli cluster nodes`: 3 primaries with a replica each. */
const HEALTHY = `effbc8decef04530fb8fec67a86e5fd21d59cfca 127.0.0.1:17202@27202 master - 0 1795388003625 3 connected 10923-16383
379a748c0edb205c9bba8f19d7d1e0d3962eec96 127.0.0.1:17205@27205 slave e70584b460311d2a0d330e0f890e0fddf7c3c626 0 1795388003324 1 connected
c69145a2ffafb39987d5ef8cf22ab42c39c27347 127.0.0.1:17204@27204 slave effbc8decef04530fb8fec67a86e5fd21d59cfca 0 1795388003524 3 connected
d7698769632f114fc4108a9ddc57d70adb3e4e7d 127.0.0.1:17201@27201 master - 0 1795388003324 2 connected 5461-10922
ce3ab75964303fd60739bb63b9bcd47487600884 127.0.0.1:17203@27203 slave d7698769632f114fc4108a9ddc57d70adb3e4e7d 0 1795388003625 2 connected
e70584b460311d2a0d330e0f890e0fddf7c3c626 127.0.0.1:17200@27200 myself,master - 0 1795388003000 1 connected 0-5460
`;

/** The same 5 s after kill -9 of 17202: 17204 has taken over. */
const FAILED_OVER = `effbc8decef04530fb8fec67a86e5fd21d59cfca 127.0.0.1:17202@27202 master,fail - 1795388004127 1795388003625 3 disconnected
379a748c0edb205c9bba8f19d7d1e0d3962eec96 127.0.0.1:17205@27205 slave e70584b460311d2a0d330e0f890e0fddf7c3c626 0 1795388008654 1 connected
c69145a2ffafb39987d5ef8cf22ab42c39c27347 127.0.0.1:17204@27204 master - 0 1795388008554 7 connected 10923-16383
d7698769632f114fc4108a9ddc57d70adb3e4e7d 127.0.0.1:17201@27201 master - 0 1795388008554 2 connected 5461-10922
ce3ab75964303fd60739bb63b9bcd47487600884 127.0.0.1:17203@27203 slave d7698769632f114fc4108a9ddc57d70adb3e4e7d 0 1795388008654 2 connected
e70584b460311d2a0d330e0f890e0fddf7c3c626 127.0.0.1:17200@27200 myself,master - 0 1795388008000 1 connected 0-5460
`;

const numbers = (memory: ShardMemory, text: string): Record<string, number> =>
  Object.fromEntries([...memory.learn(text)].map(([name, shard]) => [name, shard.nodes]));

describe('redis/shards: CLUSTER NODES', () => {
  const nodes = (text: string): Record<string, number> => numbers(new ShardMemory(), text);

  it('has a primary and a replica in each shard', () =>
    expect(nodes(HEALTHY)).to.include({ '127.0.0.1:17200': 2, '127.0.0.1:17201': 2, '127.0.0.1:17202': 2 }));

  it('may have a failed primary without slots: a worker that never saw it before counts it for every shard', () =>
    expect(nodes(FAILED_OVER)).to.include({ '127.0.0.1:17200': 3, '127.0.0.1:17201': 3, '127.0.0.1:17204': 2 }));

  it('may have a failed primary that still owns its slots, before the fail-over', () => {
    const failing = HEALTHY.replace('17202@27202 master -', '17202@27202 master,fail -');
    expect(nodes(failing)).to.include({ '127.0.0.1:17200': 2, '127.0.0.1:17201': 2, '127.0.0.1:17202': 2 });
    const perhaps = HEALTHY.replace('17202@27202 master -', '17202@27202 master,fail? -');
    expect(nodes(perhaps)).to.deep.equal(nodes(failing));
  });

  it('may have failed replicas, which still count', () => {
    for (const flags of ['slave,fail', 'slave,fail?', 'slave,noaddr', 'slave,nofailover'])
      expect(nodes(HEALTHY.replaceAll(' slave ', ` ${flags} `)), flags).to.deep.equal(nodes(HEALTHY));
  });

  it('may have a shard without replicas', () =>
    expect(nodes(HEALTHY.replace(/^379a.*\n/m, ''))).to.include({ '127.0.0.1:17200': 1, '127.0.0.1:17201': 2 }));

  it('may have new nodes without slots, or still in handshake, which belong to no shard', () => {
    const more = `1111111111111111111111111111111111111111 127.0.0.1:17206@27206 master - 0 1795388003625 0 connected
2222222222222222222222222222222222222222 127.0.0.1:17207@27207 handshake - 1795388003625 0 0 disconnected
`;
    expect(nodes(HEALTHY + more)).to.include(nodes(HEALTHY));
  });

  it('may have slots in several ranges, and slots that are being moved', () => {
    const moving = HEALTHY.replace(
      '1 connected 0-5460',
      '1 connected 0-93 95 100-5460 [94->-d7698769632f114fc4108a9ddc57d70adb3e4e7d]',
    );
    expect(nodes(moving)).to.deep.equal(nodes(HEALTHY));
  });

  it('may have host names, since 7.0, and IPv6 addresses', () => {
    const named = HEALTHY.replaceAll(/127\.0\.0\.1:(\d+)@(\d+)/g, '127.0.0.1:$1@$2,redis-$1.example');
    expect(nodes(named)).to.include(nodes(HEALTHY)).and.to.have.property('redis-17200.example:17200', 2);
    expect(nodes(HEALTHY.replaceAll('127.0.0.1', '::1'))).to.have.property('::1:17200', 2);
  });
});

describe('redis/shards: a Cluster that changes', () => {
  const [first, second, third] = ['127.0.0.1:17200', '127.0.0.1:17201', '127.0.0.1:17204'];

  it('counts a failed primary in its own shard and in no other, until it is back', () => {
    const memory = new ShardMemory();
    expect(numbers(memory, HEALTHY)).to.include({ [first]: 2, [second]: 2, [third]: 2 });
    expect(numbers(memory, FAILED_OVER)).to.include({ [first]: 2, [second]: 2, [third]: 2 });
    const back = FAILED_OVER.replace(
      '127.0.0.1:17202@27202 master,fail - 1795388004127',
      '127.0.0.1:17202@27202 slave c69145a2ffafb39987d5ef8cf22ab42c39c27347 0',
    );
    expect(numbers(memory, back)).to.include({ [first]: 2, [second]: 2, [third]: 2, '127.0.0.1:17202': 2 });
  });

  it('counts the existing nodes when it is complete, however many it had before', () => {
    const memory = new ShardMemory();
    expect(numbers(memory, FAILED_OVER)).to.include({ [first]: 3, [second]: 3 });
    expect(numbers(memory, HEALTHY)).to.include({ [first]: 2, [second]: 2, [third]: 2 });
  });

  it('does not count fewer nodes in a shard while one is missing', () => {
    const memory = new ShardMemory();
    numbers(memory, HEALTHY);
    const missing = FAILED_OVER.replace(/^effb.*\n/, '').replace(
      'master - 0 1795388008554 7',
      'master,fail? - 0 1795388008554 7',
    );
    expect(numbers(memory, missing)).to.include({ [first]: 2, [third]: 2 });
  });

  it('knows the address of each node of a shard, including failed ones', () => {
    const memory = new ShardMemory();
    memory.learn(HEALTHY);
    const ports = memory
      .learn(FAILED_OVER)
      .get(third)
      ?.hosts.map(({ port }) => port);
    expect(ports?.toSorted()).to.deep.equal([17202, 17204]);
  });
});

/** Right after CLUSTER FAILOVER: 17204 owns the slots, and 17202 does not report yet that it is a replica. */
const HANDING_OVER = HEALTHY.replace('3 connected 10923-16383', '3 connected').replace(
  'slave effbc8decef04530fb8fec67a86e5fd21d59cfca 0 1795388003524 3 connected',
  'master - 0 1795388003524 7 connected 10923-16383',
);

describe('redis/replication: a watch over a Cluster', () => {
  /** The part of ioredis's Cluster that the watch uses. */
  function clusterSaying(saying: { nodes: string; primaries: number[] }): Cluster {
    const node = (port: number): object => ({
      options: { host: '127.0.0.1', port },
      call: () => Promise.resolve(info([])),
    });
    const cluster = {
      isCluster: true,
      slots: [],
      on: () => cluster,
      cluster: () => Promise.resolve(saying.nodes),
      nodes: () => saying.primaries.map(node),
    };
    return cluster as unknown as Cluster;
  }

  it('does not count fewer nodes when a replica has just been promoted', async () => {
    const saying = { nodes: HEALTHY, primaries: [17200, 17201, 17202] };
    const address: ClusterAddress = { shape: 'cluster', hosts: [], tls: false };
    const log = pino({ level: 'silent' });
    const watch = new ReplicationWatch(clusterSaying(saying), {
      address,
      nodes: undefined,
      maxLagMs: 3_000,
      keyPrefix: 'aizumi',
      onNewLineage: () => undefined,
      log,
    });
    await watch.poll();
    expect(watch.of('127.0.0.1:17202')).to.deep.equal({ nodes: 2, inSync: 0 });
    expect(watch.of('127.0.0.1:17204'), 'not a primary yet').to.equal(undefined);
    Object.assign(saying, { nodes: HANDING_OVER, primaries: [17200, 17201, 17204] });
    await watch.poll();
    expect(watch.of('127.0.0.1:17204')).to.deep.equal({ nodes: 2, inSync: 0 });
    watch.stop();
  });
});

describe('redis/replication: how many replicas must confirm', () => {
  // nodes count for the quorum even if most are dead
  const rows: [nodes: number, quorum: number][] = [
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
  ];
  for (const [nodes, quorum] of rows) {
    it(`a majority of ${nodes}: the primary and ${quorum} replicas, however many are in sync`, () => {
      expect(1 + quorum, 'a majority').to.be.above(nodes / 2);
      expect(quorum, 'and no more').to.be.at.most(nodes / 2);
      for (let inSync = 0; inSync < nodes; inSync++)
        expect(replicasFor('quorum', { nodes, inSync }), `${inSync} in sync`).to.equal(quorum);
    });

    it(`all of ${nodes}: those in sync, but never fewer than a majority`, () => {
      for (let inSync = 0; inSync < nodes; inSync++)
        expect(replicasFor('all', { nodes, inSync }), `${inSync} in sync`).to.equal(Math.max(inSync, quorum));
    });
  }
});
