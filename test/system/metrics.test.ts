// GET /metrics of real brokers: what is counted, what is read from Redis, and that two workers report as one broker.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { keysFile } from '../support/access.js';
import { openClient } from '../../harness/keep-alive-client.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, spawnBroker, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { metricsUrl, scrape } from '../support/scrape.js';
import type { Labels, Scrape } from '../support/scrape.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

/** Well over the interval of a second at which metrics are read, and three seconds for queues. */
const SHOWN_MS = 10_000;

describe('metrics', function () {
  this.timeout(60_000);
  let broker: BrokerProcess;
  const servers: TestServer[] = [];

  afterEach(async () => {
    endAllProcesses();
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function start(env: Record<string, string> = {}): Promise<void> {
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
      AIZUMI_METRICS_PORT: '0',
      ...env,
    });
    await until('the broker serves requests', async () => (await fetch(`${broker.url}readyz`)).ok);
  }

  async function startServer(...args: string[]): Promise<TestServer> {
    const server = await startRedisServer({ args });
    servers.push(server);
    return server;
  }

  const shown = (what: string, condition: (found: Scrape) => unknown): Promise<Scrape> =>
    until(
      what,
      async () => {
        const found = await scrape(broker);
        return condition(found) ? found : false;
      },
      SHOWN_MS,
    );
  const requests = (msg_type: string, code: string, reason = 'none'): [string, Labels] => [
    'aizumi_requests_total',
    { msg_type, code, reason },
  ];

  it('count every request by type, status and reason, including each request of a batch', async () => {
    await start();
    const once = [sendRequest(100, 1), recvRequest(100), heloRequest(101), statRequest(100), freeRequest(100, 1)];
    for (const request of [...once, gbyeRequest(101)]) expect((await broker.post(request)).status).to.equal(200);
    await broker.post(recvRequest(100));
    await broker.post({ ...sendRequest(100, 1), saddr: -1 });
    await broker.post({ msg_type: 'MSG_PUSH_REQ' });
    await broker.post('no JSON');
    await broker.post({ msg_type: 'MSG_HALLO_REQ' });
    await broker.post([sendRequest(100, 2), sendRequest(100, 3), { msg_type: 'MSG_HALLO_REQ' }]);
    await fetch(`${broker.url}nowhere`);
    const found = await shown('the last is counted', (now) => now.value(...requests('MSG_SEND_REQ', '200')) === 3);
    for (const type of ['RECV', 'HELO', 'STAT', 'FREE', 'GBYE'])
      expect(found.value(...requests(`MSG_${type}_REQ`, '200')), type).to.equal(1);
    expect(found.value(...requests('MSG_RECV_REQ', '404', 'queue_empty'))).to.equal(1);
    expect(found.value(...requests('MSG_SEND_REQ', '400', 'invalid_request'))).to.equal(1);
    expect(found.value(...requests('MSG_PUSH_REQ', '501', 'not_supported'))).to.equal(1);
    expect(found.value(...requests('none', '400', 'invalid_json'))).to.equal(1);
    expect(found.value(...requests('none', '400', 'unknown_msg_type'))).to.equal(2);
    expect(found.value('aizumi_requests_total'), 'nothing else').to.equal(3 + 5 + 3 + 1 + 2);
    expect(found.value('aizumi_request_duration_seconds_count', { msg_type: 'MSG_SEND_REQ' })).to.equal(4);
    expect(found.value('aizumi_request_duration_seconds_sum', { msg_type: 'MSG_SEND_REQ' })).to.be.within(1e-5, 5);
  });

  it('count the refusals of each limit', async () => {
    const most = { QUEUES: '2', REQUESTS_PER_S: '13', BYTES: '300000' };
    const env = Object.entries(most).map(([name, value]) => [`AIZUMI_MAX_CLIENT_${name}`, value]);
    const ofAddress = { AIZUMI_MAX_QUEUE_LENGTH: '2', AIZUMI_MAX_QUEUE_BYTES: '200000' };
    await start({
      ...(Object.fromEntries(env) as Record<string, string>),
      ...ofAddress,
      AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: '11',
    });
    const large = 'x'.repeat(120_000);
    const batch = [
      ...[1, 2, 3].map((id) => sendRequest(100, id)),
      sendRequest(101, 1, large),
      sendRequest(101, 2, large),
      sendRequest(101, 3, large),
      heloRequest(102),
      heloRequest(103),
    ];
    await broker.post(batch);
    for (let i = 0; i < 3; i++) await broker.post([1, 2, 3, 4, 5, 6].map((id) => sendRequest(100, id)));
    const limited = (now: Scrape, limit: string): number => now.value('aizumi_limit_refusals_total', { limit }) ?? 0;
    const all = ['client_requests', 'address_requests', 'client_queues', 'client_bytes', 'queue_length', 'queue_bytes'];
    const found = await shown('each is counted', (now) => all.every((limit) => limited(now, limit) > 0));
    for (const address of ['100', '101'])
      expect(found.value('aizumi_queue_full_total', { address }), address).to.be.above(0);
    expect(found.value('aizumi_queue_full_total', { address: '102' })).to.equal(undefined);
  });

  it('count deliveries, redeliveries and dead letters', async () => {
    await start({ AIZUMI_MAX_DELIVERIES: '2' });
    for (const id of [1, 2]) await broker.post(sendRequest(100, id));
    const recv = { ...recvRequest(100), max: 10, visibility_timeout_ms: 0 };
    for (let i = 0; i < 2; i++) expect((await broker.post(recv)).json.messages).to.have.length(2);
    await broker.post(sendRequest(100, 3));
    expect((await broker.post(recv)).json.messages, 'two are dead').to.have.length(1);
    expect((await broker.post(recv)).json.messages).to.have.length(1);
    expect((await broker.post(recv)).status, 'the third is dead too').to.equal(404);
    const found = await shown('all are dead', (now) => now.value('aizumi_dead_letters_total') === 3);
    expect(found.value('aizumi_deliveries_total')).to.equal(6);
    expect(found.value('aizumi_redeliveries_total')).to.equal(3);
    expect(found.value('aizumi_queue_dead_letters_total', { address: '100' })).to.equal(3);
    await shown('they are seen in Redis', (now) => now.value('aizumi_dead_messages') === 3);
  });

  it('have a bounded number of addresses as labels', async () => {
    await start({ AIZUMI_MAX_DELIVERIES: '1', AIZUMI_VISIBILITY_TIMEOUT_MS: '0' });
    const addresses = Array.from({ length: 105 }, (_, i) => 1_000 + i);
    await broker.post(addresses.map((address) => sendRequest(address, 1)));
    for (let i = 0; i < 2; i++) await broker.post(addresses.map((address) => recvRequest(address)));
    const found = await shown('all are dead', (now) => now.value('aizumi_dead_letters_total') === 105);
    const own = addresses.filter(
      (address) => found.value('aizumi_queue_dead_letters_total', { address: String(address) }) === 1,
    );
    expect(own).to.have.length(100);
    expect(found.value('aizumi_queue_dead_letters_total', { address: 'other' })).to.equal(5);
  });

  it('report waiting receivers and the time that they wait separately from latencies', async () => {
    await start();
    const client = openClient(broker.url);
    const waits = client.post({ ...recvRequest(100), wait_ms: 20_000 });
    const waiting = await shown('it waits', (now) => now.value('aizumi_waiting_receivers') === 1);
    for (const use of ['requests', 'waits'])
      expect(waiting.value('aizumi_memory_taken_bytes', { use }), use).to.be.above(0);
    expect(waiting.value('aizumi_memory_limit_bytes')).to.be.above(1e6);
    await broker.post(sendRequest(100, 1));
    expect(await waits).to.include({ status: 200 });
    client.close();
    const found = await shown('its wait is over', (now) => now.value('aizumi_recv_wait_seconds_count') === 1);
    expect(found.value('aizumi_waiting_receivers')).to.equal(0);
    for (const use of ['requests', 'replies', 'waits'])
      expect(found.value('aizumi_memory_taken_bytes', { use }), `${use}: all is given back`).to.equal(0);
    expect(found.value('aizumi_stalled_connections_total')).to.equal(0);
    expect(found.value('aizumi_request_duration_seconds_count', { msg_type: 'MSG_RECV_REQ' })).to.equal(undefined);
    expect(found.value('aizumi_redis_commands_total', { connection: 'waiting' })).to.be.above(0);
  });

  it('count commands to Redis, and measure the time of some', async () => {
    await start();
    const before = await scrape(broker);
    for (let id = 1; id <= 64; id++) await broker.post(sendRequest(100, id));
    const count = (at: Scrape): number => at.value('aizumi_redis_commands_total', { connection: 'main' }) ?? 0;
    const timed = (at: Scrape): number =>
      at.value('aizumi_redis_round_trip_seconds_count', { connection: 'main' }) ?? 0;
    await shown('all are counted', (now) => count(now) >= count(before) + 64 && timed(now) >= timed(before) + 4);
  });

  it('include metrics of the process', async () => {
    await start();
    const found = await shown('it has used time', (now) => now.value('process_cpu_seconds_total'));
    expect(found.value('nodejs_eventloop_lag_p99_seconds')).to.be.above(0);
    expect(found.value('aizumi_build_info', { node_version: process.version })).to.equal(1);
    expect(found.value('aizumi_redis_up')).to.equal(1);
  });

  it('report a bounded number of top queues, and sums over all queues', async () => {
    await start({ AIZUMI_METRICS_QUEUES: '5' });
    for (let address = 1; address <= 50; address++) {
      const messages = address > 45 ? 10 : 1;
      await broker.post(Array.from({ length: messages }, (_, id) => sendRequest(address, id)));
    }
    const addresses = ['46', '47', '48', '49', '50'];
    const found = await shown('the longest are shown', (now) => {
      const there = now.values('aizumi_queue_messages', 'address');
      expect(there.length).to.be.at.most(5);
      return addresses.every((address) => there.includes(address));
    });
    expect(found.values('aizumi_queue_oldest_age_seconds', 'address')).to.have.members(addresses);
    expect(found.value('aizumi_queue_messages', { address: '50', state: 'waiting' })).to.equal(10);
    expect(found.value('aizumi_queues')).to.equal(50);
    expect(found.value('aizumi_oldest_message_age_seconds')).to.be.above(0);
  });

  it('are served while Redis is unreachable, report that, and omit the queues', async () => {
    const redis = await startServer();
    await start({ AIZUMI_REDIS_URL: redis.url });
    await broker.post(sendRequest(100, 1));
    await shown('the queue is there', (now) => now.value('aizumi_queues') === 1);
    redis.pause();
    const found = await shown('Redis is reported as down', (now) => now.value('aizumi_redis_up') === 0);
    const blind = await shown('queues are omitted', (now) => now.value('aizumi_queues') === undefined);
    expect(blind.values('aizumi_queue_messages', 'address')).to.deep.equal([]);
    expect(blind.value('aizumi_oldest_message_age_seconds')).to.equal(undefined);
    expect(found.value(...requests('MSG_SEND_REQ', '200'))).to.equal(1);
    redis.resume();
    const back = await shown('queues are reported again', (now) => now.value('aizumi_queues') === 1);
    expect(back.value('aizumi_redis_up')).to.equal(1);
  });

  it('report the replicas in sync, and how many writes each WAIT has confirmed', async () => {
    const primary = await startServer('--repl-diskless-sync-delay', '0');
    const replica = await startServer('--replicaof', '127.0.0.1', String(primary.port));
    await start({ AIZUMI_REDIS_URL: primary.url, AIZUMI_REPLICA_MAX_LAG_MS: '2000' });
    await shown('the replica is in sync', (now) => now.value('aizumi_replicas_in_sync') === 1);
    const sends = Array.from({ length: 20 }, (_, id) => ({ ...sendRequest(100, id), durability: 'all' }));
    expect((await broker.post(sends)).status).to.equal(200);
    const found = await shown('all are counted', (now) => now.value('aizumi_group_commit_writes_sum') === 20);
    expect(found.value('aizumi_group_commit_writes_count')).to.be.within(1, 19);
    expect(found.value('aizumi_group_commit_wait_seconds_count')).to.equal(
      found.value('aizumi_group_commit_writes_count'),
    );
    expect(found.value('aizumi_redis_commands_total', { connection: 'durable' })).to.be.above(20);
    replica.pause();
    const alone = await shown('the replica is out of sync', (now) => now.value('aizumi_replicas_in_sync') === 0);
    expect(alone.value('aizumi_replication_nodes')).to.equal(2);
    replica.resume();
  });

  it('are the sums of both workers, and counters do not drop when a worker dies', async () => {
    await start({ AIZUMI_WORKERS: '2' });
    // connections are given to the workers in turn
    const clients = Array.from({ length: 4 }, () => openClient(broker.url));
    for (const [i, client] of clients.entries())
      for (let id = 1; id <= 10; id++)
        expect(await client.post(sendRequest(100, 10 * i + id))).to.include({ status: 200 });
    clients.forEach((client) => client.close());
    const sent = requests('MSG_SEND_REQ', '200');
    const before = await shown('all are counted', (now) => now.value(...sent) === 40);
    expect(before.value('aizumi_workers')).to.equal(2);
    expect(before.value('aizumi_queue_messages', { address: '100', state: 'waiting' }), 'reported once').to.equal(40);
    expect(before.value('aizumi_redis_up')).to.equal(1);
    const [one] = broker.workerPids();
    process.kill(one!, 'SIGKILL');
    const after = await shown('the worker is replaced', (now) => {
      expect(now.value(...sent), 'a counter does not go down').to.equal(40);
      return now.value('aizumi_worker_deaths_total') === 1 && now.value('aizumi_workers') === 2;
    });
    expect(after.value('aizumi_build_info')).to.equal(1);
    await broker.post(sendRequest(100, 1));
    await shown('counting goes on', (now) => now.value(...sent) === 41);
  });

  it('are served in time while one of two workers hangs, with its last values', async () => {
    const prefix = `t${randomBytes(6).toString('hex')}`;
    await start({ AIZUMI_WORKERS: '2', AIZUMI_KEY_PREFIX: prefix });
    await broker.post(sendRequest(100, 1));
    const sent = requests('MSG_SEND_REQ', '200');
    await shown('the SEND is counted', (now) => now.value(...sent) === 1);
    const pids = broker.workerPids();
    expect(pids).to.have.length(2);
    const raw = new Redis((await sharedRedis()).url);
    // one of the two reports the queues
    for (const [i, pid] of pids.entries()) {
      process.kill(pid, 'SIGSTOP');
      await raw.xadd(`${prefix}:{100}:queue`, '*', 'saddr', 1, 'id', 1, 'payload', '1');
      await shown(
        'the other worker reports the queues',
        (now) => now.value('aizumi_queue_messages', { address: '100' }) === 2 + i,
      );
      process.kill(pid, 'SIGCONT');
    }
    raw.disconnect();
    process.kill(pids[0]!, 'SIGSTOP');
    try {
      const fromMs = performance.now();
      while (performance.now() - fromMs < 3_000) {
        const askedMs = performance.now();
        expect((await scrape(broker)).value(...sent)).to.equal(1);
        expect(performance.now() - askedMs, 'ms').to.be.below(patient(5_000));
      }
    } finally {
      process.kill(pids[0]!, 'SIGCONT');
    }
  });

  it('count requests refused because of the connection limit or without a valid key', async () => {
    const file = keysFile();
    try {
      await start({ AIZUMI_MAX_CONNECTIONS: '2', ...file.env });
      const told = Array.from({ length: 6 }, async () => (await fetch(broker.url, { method: 'POST' })).status);
      const codes = await Promise.all(told);
      expect(codes).to.include.members([401, 503]);
      const counted = requests('none', '503', 'overloaded');
      const found = await shown('they are counted', (now) => now.value(...counted));
      expect(found.value(...counted)).to.equal(codes.filter((code) => code === 503).length);
      expect(found.value(...requests('none', '401', 'unauthenticated'))).to.equal(
        codes.filter((code) => code === 401).length,
      );
    } finally {
      file.delete();
    }
  });

  it('report when each key was last used, as long as its name is in the keys file', async () => {
    const file = keysFile();
    try {
      const [used, gone] = ['used', 'gone'].map((name) => file.add({ send: [1] }, { name })) as [string, string];
      file.add({ send: [1] }, { name: 'idle' });
      file.add({ send: [1] }, { name: 'over', expires: '2020-01-01' });
      await start({ AIZUMI_WORKERS: '2', ...file.env });
      const fromS = Date.now() / 1e3;
      const send = (key: string) =>
        broker.post(sendRequest(2, 1), { authorization: `Bearer ${key}`, connection: 'close' });
      for (const key of [used, gone]) for (let n = 0; n < 4; n++) expect((await send(key)).status).to.equal(200);
      const metric = 'aizumi_key_last_used_timestamp_seconds';
      const found = await shown('both are shown', (now) => now.values(metric, 'key').length === 2);
      expect(found.values(metric, 'key')).to.have.members(['used', 'gone']);
      expect(found.value(metric, { key: 'used' })).to.be.within(fromS - 1, Date.now() / 1e3 + 1);
      file.remove(gone);
      const left = await shown('one is left', (now) => now.values(metric, 'key').length === 1);
      expect(left.value(metric, { key: 'used' }), 'not forgotten').to.equal(found.value(metric, { key: 'used' }));
    } finally {
      file.delete();
    }
  });

  it('are served at GET /metrics and nowhere else', async () => {
    await start();
    const url = metricsUrl(broker);
    const response = await fetch(url);
    expect(response.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8');
    expect((await fetch(url, { method: 'HEAD' })).status).to.equal(200);
    expect((await fetch(url, { method: 'POST' })).status).to.equal(405);
    expect((await fetch(new URL('/', url))).status).to.equal(404);
    expect((await fetch(`${broker.url}metrics`)).status, 'on the port for requests').to.equal(404);
  });

  it('are off without a port', async () => {
    await start({ AIZUMI_METRICS_PORT: '' });
    expect(broker.lines('metrics')).to.deep.equal([]);
    expect((await broker.post(sendRequest(100, 1))).status).to.equal(200);
  });

  for (const workers of ['1', '2'])
    it(`keep the broker from starting, with an explanation, if their port is in use, with ${workers} worker(s)`, async () => {
      const holder = createServer().listen(0, '127.0.0.1');
      await once(holder, 'listening');
      const port = String((holder.address() as AddressInfo).port);
      const { url } = await sharedRedis();
      broker = spawnBroker({ AIZUMI_REDIS_URL: url, AIZUMI_METRICS_PORT: port, AIZUMI_WORKERS: workers });
      expect(await broker.exited).to.equal(1);
      holder.close();
      expect(broker.output).to.include(port).and.to.include('AIZUMI_METRICS_PORT');
      expect(broker.workerPids()).to.deep.equal([]);
    });
});
