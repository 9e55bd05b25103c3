// Redis by name: when DNS falls silent, a worker goes where the name led last, and nothing else waits for DNS.
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ask } from '../../harness/ask.js';
import { makeCertificates } from '../support/certificates.js';
import { startDnsServer } from '../support/dns-server.js';
import type { DnsServer } from '../support/dns-server.js';
import { canHaveResolvConf, withResolvConf } from '../support/own-resolv-conf.js';
import { endAllProcesses, spawnBroker } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { freePort, startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { sendRequest, statRequest } from '../../harness/requests.js';
import { startClusterStack, startSentinelStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

const OLD = 'name does not resolve: its last known addresses stay in use';
/** Sentinels notice after 1 s that the primary is gone, and elect. */
const FAIL_OVER_MS = 15_000;

/** As long as 127.0.0.1, so that it can stand in its place in a reply. */
const NODES_NAME = 'nodes.tst';

/** A Sentinel that names the nodes by name, as one with `announce-hostnames yes` does. */
async function startRenaming({ port }: TestServer): Promise<Server> {
  const server = createServer((client) => {
    const sentinel = createConnection({ host: '127.0.0.1', port });
    sentinel.on('data', (bytes) =>
      client.write(bytes.toString('latin1').replaceAll('127.0.0.1', NODES_NAME), 'latin1'),
    );
    client.on('data', (bytes) => sentinel.write(bytes));
    for (const [socket, other] of [
      [client, sentinel],
      [sentinel, client],
    ] as const)
      socket.on('close', () => other.destroy()).on('error', () => undefined);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

describe('Redis by name', function () {
  this.timeout(60_000);
  // addresses of its own beside what else is tested on this machine
  const net = `127.${1 + Math.floor(Math.random() * 254)}.${Math.floor(Math.random() * 256)}`;
  let folder: string;
  let resolvConf: string;
  let dns: DnsServer;
  let nextId = 1;
  /** A Cluster without replicas refuses them. */
  let takesWrites: boolean;

  before(function () {
    if (!canHaveResolvConf()) this.skip();
  });
  beforeEach(async () => {
    takesWrites = true;
    folder = mkdtempSync(join(tmpdir(), 'aizumi-names-'));
    resolvConf = join(folder, 'resolv.conf');
    writeFileSync(resolvConf, `nameserver ${net}.53\nsearch aizumi.svc.test svc.test\noptions ndots:5\n`);
    dns = await startDnsServer(`${net}.53`, 53);
  });
  afterEach(() => {
    endAllProcesses();
    dns.stop();
    rmSync(folder, { recursive: true });
  });

  async function start(url: string, env: Record<string, string> = {}): Promise<BrokerProcess> {
    const broker = spawnBroker({ AIZUMI_REDIS_URL: url, ...env }, withResolvConf(resolvConf));
    await broker.started();
    return broker;
  }

  const isServing = async (broker: BrokerProcess): Promise<boolean> =>
    (await broker.post(takesWrites ? sendRequest(100, nextId++) : statRequest(100))).status === 200;

  const serves = (broker: BrokerProcess, why: string, withinMs?: number): Promise<true> =>
    until(`it serves: ${why}`, () => isServing(broker), withinMs);

  const isAway = (broker: BrokerProcess, why: string): Promise<true> =>
    until(`it does not serve: ${why}`, async () => !(await isServing(broker)));

  describe('of a single one', () => {
    let server: TestServer;
    let url: string;
    beforeEach(async () => {
      server = await startRedisServer({ args: ['--bind', '127.0.0.1', `${net}.1`] });
      dns.names.set('redis.aizumi.svc.test', [`${net}.1`]);
      url = `redis://redis:${server.port}`;
    });
    afterEach(() => server.stop());

    /** As when it has moved: it listens there only, and those that are connected lose their connections. */
    async function move(to: string): Promise<void> {
      await ask(server.port, 'CONFIG', 'SET', 'bind', `127.0.0.1 ${to}`);
      await ask(server.port, 'CLIENT', 'KILL', 'TYPE', 'normal');
    }

    it('is found again while DNS is silent, and under a new address when DNS is back', async () => {
      const broker = await start(url);
      await serves(broker, 'DNS answers');
      dns.behaviour = 'is silent';
      await server.kill9();
      await isAway(broker, 'Redis is gone');
      await server.restart();
      await serves(broker, 'DNS is silent');
      await move(`${net}.2`);
      await isAway(broker, 'Redis has moved, and DNS is silent');
      await until('it is logged', () => broker.lines(OLD).length > 0);
      dns.names.set('redis.aizumi.svc.test', [`${net}.2`]);
      dns.behaviour = 'answers';
      await serves(broker, 'DNS names the new address');
      const [line] = broker.lines(OLD);
      expect(line).to.deep.include({ name: 'redis', addresses: [`${net}.1`] });
      expect(line!.reason).to.include('redis.aizumi.svc.test');
      expect(broker.lines(OLD), 'once').to.have.length(1);
      expect(broker.lines('name resolves again')).to.have.length(1);
    });

    it('is found at the start when DNS comes later', async () => {
      dns.behaviour = 'is silent';
      const broker = await start(url);
      await isAway(broker, 'DNS is silent');
      dns.behaviour = 'answers';
      await serves(broker, 'DNS answers');
    });

    it('is reached at every attempt where each second packet of DNS is lost', async () => {
      dns.lose = 2;
      const broker = await start(url);
      for (let i = 0; i < 10; i++) {
        await serves(broker, 'packets are lost');
        await ask(server.port, 'CLIENT', 'KILL', 'TYPE', 'normal');
      }
      await serves(broker, 'packets are lost');
      expect(broker.lines('Redis cannot be reached'), 'refused').to.deep.equal([]);
      expect(broker.lines(OLD)).to.deep.equal([]);
    });

    it('that does not exist is named in the log', async () => {
      const broker = await start('redis://nowhere:6379');
      const [line] = await until('it is away', () => {
        const lines = broker.log.filter(({ reason }) => String(reason).includes('nowhere'));
        return lines.length > 0 && lines;
      });
      expect(line!.reason).to.equal('getaddrinfo ENOTFOUND nowhere');
    });
  });

  it('is trusted by its name, not by its address', async () => {
    const certificates = makeCertificates();
    const [right, wrong] = [certificates.issue('right', 'DNS:redis'), certificates.issue('wrong', `IP:${net}.1`)];
    const port = await freePort();
    dns.names.set('redis.aizumi.svc.test', [`${net}.1`]);
    const server = await startRedisServer({
      args: [
        ...['--bind', '127.0.0.1', `${net}.1`, '--tls-port', String(port), '--tls-auth-clients', 'no'],
        ...['--tls-ca-cert-file', certificates.ca],
        ...['--tls-cert-file', wrong.certificate, '--tls-key-file', wrong.key],
      ],
    });
    try {
      const broker = await start(`rediss://redis:${port}`, { AIZUMI_REDIS_CA_FILE: certificates.ca });
      await until('it refuses', () => broker.log.some(({ reason }) => String(reason).includes('Host: redis. is not')));
      const { certificate, key } = right;
      await ask(server.port, 'CONFIG', 'SET', 'tls-cert-file', certificate, 'tls-key-file', key);
      await serves(broker, 'the certificate has its name');
    } finally {
      await server.stop();
      certificates.remove();
    }
  });

  describe('of several', () => {
    let stack: Stack;
    afterEach(() => stack.stop());

    /** Instead of the addresses in the stack's URL. */
    function byNames(shape: string): string {
      const { hosts, rest } = /\/\/(?<hosts>[^/]*)(?<rest>.*)/.exec(stack.url)!.groups as {
        hosts: string;
        rest: string;
      };
      const named = hosts.split(',').map((host, i) => {
        dns.names.set(`${shape}-${i}.aizumi.svc.test`, ['127.0.0.1']);
        return `${shape}-${i}:${host.split(':')[1]}`;
      });
      return `redis+${shape}://${named.join(',')}${rest}`;
    }

    it('watched by Sentinels: a worker follows a fail-over while DNS is silent', async () => {
      stack = await startSentinelStack({ replicas: 2 });
      const broker = await start(byNames('sentinel'), { AIZUMI_DURABILITY: 'quorum' });
      await serves(broker, 'DNS answers');
      const renaming = await Promise.all(stack.sentinels.map(startRenaming));
      dns.names.set(NODES_NAME, ['127.0.0.1']);
      const hosts = renaming.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`);
      const second = await start(`redis+sentinel://${hosts.join(',')}/mymaster`);
      await serves(second, 'DNS answers');
      dns.behaviour = 'is silent';
      const asked = dns.asked.length;
      const old = await stack.primary();
      await old.kill9();
      await isAway(broker, 'the primary is gone');
      await serves(broker, 'another was promoted', FAIL_OVER_MS);
      await serves(second, 'the Sentinels name the new primary by its name');
      expect(dns.asked.slice(asked).join(' '), 'was needed').to.include(NODES_NAME);
      for (const server of renaming) server.close();
      expect(dns.asked.length, 'names were needed').to.be.above(asked);
      // one Sentinel names the new one at first, and the others within 2 s
      await until('most Sentinels name another', async () => (await stack.primary().catch(() => old)) !== old);
    });

    it('in a Cluster: one name that does not resolve is passed over, and all are known while DNS is silent', async () => {
      stack = await startClusterStack({ primaries: 3, replicasEach: 0 });
      takesWrites = false;
      const url = byNames('cluster').replace('://', '://gone.test:6379,');
      const broker = await start(url);
      await serves(broker, 'one name does not resolve');
      dns.behaviour = 'is silent';
      await Promise.all(stack.nodes.map((node) => node.kill9()));
      await isAway(broker, 'all nodes are gone');
      const asked = dns.asked.length;
      await Promise.all(stack.nodes.map((node) => node.restart()));
      await serves(broker, 'the nodes are back', FAIL_OVER_MS);
      expect(dns.asked.length, 'names were needed').to.be.above(asked);
    });
  });

  it('holds up nothing but the connections to it', async () => {
    dns.behaviour = 'is silent';
    const [command, ...args] = withResolvConf(resolvConf);
    const program = [process.execPath, '--import', 'tsx', 'test/support/hanging-names.ts'];
    const { stdout } = await promisify(execFile)(command!, [...args, ...program]);
    const ended = JSON.parse(stdout) as string[];
    expect(ended.slice(0, 2)).to.have.members(['localhost', 'file']);
    expect(ended.slice(2)).to.deep.equal(Array.from({ length: 10 }, () => 'connection'));
  });
});
