// Names are looked up without a thread, and one that does not resolve keeps its addresses.
import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Names } from '../../src/names/host-names.js';
import { candidates, parseHosts, parseSearch } from '../../src/names/local-files.js';
import { startDnsServer } from '../support/dns-server.js';
import type { DnsServer } from '../support/dns-server.js';
import { until } from '../../harness/until.js';

describe('a name', () => {
  let folder: string;
  let dns: DnsServer;
  let names: Names;
  let logged: string[];
  let askedOfSystem: string[];
  let system: (name: string) => Promise<{ address: string; family: number }[]>;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aizumi-names-'));
    dns = await startDnsServer();
    dns.names.set('redis.test', ['127.0.0.7']);
    logged = [];
    askedOfSystem = [];
    system = (name) => Promise.reject(new Error(`getaddrinfo ENOTFOUND ${name}`));
    hosts('');
    resolvConf('');
    names = new Names({
      hostsFile: join(folder, 'hosts'),
      resolvConf: join(folder, 'resolv.conf'),
      servers: [dns.address],
      askSystem(name) {
        askedOfSystem.push(name);
        return system(name);
      },
    });
    const log = (fields: { name: string }, message: string): void => void logged.push(`${fields.name}: ${message}`);
    names.reportTo({ info: log, warn: log } as unknown as Parameters<Names['reportTo']>[0]);
  });
  afterEach(() => {
    dns.stop();
    rmSync(folder, { recursive: true });
  });

  const hosts = (text: string): void => writeFileSync(join(folder, 'hosts'), text);
  const resolvConf = (text: string): void => writeFileSync(join(folder, 'resolv.conf'), text);
  const addressesOf = async (name: string): Promise<string[]> =>
    (await names.resolve(name)).map(({ address }) => address);
  const failureOf = (name: string): Promise<NodeJS.ErrnoException> =>
    names.resolve(name).then(
      () => expect.fail(`${name} resolved`),
      (error: unknown) => error as NodeJS.ErrnoException,
    );

  it('is looked up in DNS, all addresses of it', async () => {
    dns.names.set('several.test', ['127.0.0.8', '127.0.0.9']);
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.7']);
    expect(await addressesOf('Several.Test')).to.deep.equal(['127.0.0.8', '127.0.0.9']);
  });

  it('that is an address needs no look-up', async () => {
    expect(await names.resolve('10.1.2.3')).to.deep.equal([{ address: '10.1.2.3', family: 4 }]);
    expect(await names.resolve('::1')).to.deep.equal([{ address: '::1', family: 6 }]);
    expect(dns.asked).to.deep.equal([]);
  });

  it('in /etc/hosts is taken from there, as the file is now; localhost is always there', async () => {
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.7']);
    hosts('# 127.0.0.1 redis.test\n127.0.0.2\tother Redis.test # the nearest\n');
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.2']);
    dns.behaviour = 'is silent';
    expect(await addressesOf('localhost')).to.include('127.0.0.1');
    expect(dns.asked).to.deep.equal(['redis.test']);
  });

  it('that is short is looked for in the domains of /etc/resolv.conf', async () => {
    resolvConf('search ns.svc.cluster.test svc.cluster.test cluster.test\noptions ndots:5\n');
    dns.names.set('redis-0.ns.svc.cluster.test', ['127.0.0.3']);
    dns.names.set('redis-1.other.svc.cluster.test', ['127.0.0.4']);
    expect(await addressesOf('redis-0')).to.deep.equal(['127.0.0.3']);
    expect(await addressesOf('redis-1.other')).to.deep.equal(['127.0.0.4']);
    expect(await addressesOf('redis.test'), 'as it is, in the end').to.deep.equal(['127.0.0.7']);
    expect(dns.asked).to.deep.equal([
      'redis-0.ns.svc.cluster.test',
      'redis-1.other.ns.svc.cluster.test',
      'redis-1.other.svc.cluster.test',
      'redis.test.ns.svc.cluster.test',
      'redis.test.svc.cluster.test',
      'redis.test.cluster.test',
      'redis.test',
    ]);
  });

  it('keeps its addresses when DNS falls silent, forgets or refuses it, and takes new ones afterwards', async () => {
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.7']);
    const answers = dns.names.get('redis.test')!;
    for (const fail of [
      () => (dns.behaviour = 'is silent'),
      () => (dns.behaviour = 'refuses'),
      () => dns.names.delete('redis.test'),
    ]) {
      fail();
      const before = logged.length;
      for (let i = 0; i < 3; i++) expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.7']);
      await until('it is logged', () => logged.length > before);
      dns.behaviour = 'answers';
      dns.names.set('redis.test', answers);
      await until('it resolves again', async () => {
        await addressesOf('redis.test');
        return logged.length === before + 2;
      });
    }
    expect(logged).to.deep.equal(
      [1, 2, 3].flatMap(() => [
        'redis.test: name does not resolve: its last known addresses stay in use',
        'redis.test: name resolves again',
      ]),
    );
    dns.names.set('redis.test', ['127.0.0.8']);
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.8']);
    expect(askedOfSystem, 'what was known').to.deep.equal([]);
  });

  it('is not waited for long where it is known, and the answer counts when it comes', async () => {
    await addressesOf('redis.test');
    dns.names.set('redis.test', ['127.0.0.8']);
    dns.delayMs = 600;
    expect(await addressesOf('redis.test'), 'the last one').to.deep.equal(['127.0.0.7']);
    await until('the answer has come', async () => (await addressesOf('redis.test'))[0] === '127.0.0.8');
    expect(logged, 'slow is not silent').to.deep.equal([]);
  });

  it('is asked for once, however many connections want it', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => addressesOf('redis.test')));
    expect(all).to.deep.equal(Array.from({ length: 20 }, () => ['127.0.0.7']));
    expect(dns.asked, 'where the machine is slow, it is repeated').to.have.length.below(20);
  });

  for (const lose of [2, 3])
    it(`resolves afresh where 1 of ${lose} packets is lost`, async () => {
      dns.lose = lose;
      for (let i = 1; i <= 10; i++) {
        dns.names.set('redis.test', [`127.0.1.${i}`]);
        dns.names.set(`new-${i}.test`, ['127.0.0.8']);
        expect(await addressesOf(`new-${i}.test`)).to.deep.equal(['127.0.0.8']);
        await until('it is found', async () => (await addressesOf('redis.test'))[0] === `127.0.1.${i}`);
      }
      expect(logged).to.deep.equal([]);
    });

  it('is asked of the next server, each time from another port, when the first is silent', async () => {
    const second = await startDnsServer();
    try {
      second.names.set('redis.test', ['127.0.0.9']);
      dns.behaviour = 'is silent';
      names = new Names({ servers: [dns.address, second.address] });
      expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.9']);
      expect(dns.asked).to.deep.equal(['redis.test']);
    } finally {
      second.stop();
    }
  });

  it('that DNS never had may be known to the system, which is asked one by one', async () => {
    let running = 0;
    system = async (name) => {
      expect(++running, 'at a time').to.equal(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      if (name.startsWith('none')) throw new Error(`getaddrinfo ENOTFOUND ${name}`);
      return [{ address: '127.0.0.5', family: 4 }];
    };
    const printers = ['printer-1.local', 'printer-2.local', 'printer-3.local'];
    expect(await Promise.all(printers.map(addressesOf))).to.deep.equal(printers.map(() => ['127.0.0.5']));
    expect((await failureOf('none.test')).message).to.equal('getaddrinfo ENOTFOUND none.test');
    expect(askedOfSystem).to.have.members([...printers, 'none.test']);
    // it is asked again, as it is the only one that knows them
    await addressesOf('printer-1.local');
    expect(askedOfSystem).to.have.length(5);
  });

  it('that was never known fails while DNS is silent, without holding up the system', async () => {
    dns.behaviour = 'is silent';
    const { code, message } = await failureOf('redis.test');
    expect(code).to.equal('ETIMEOUT');
    expect(message).to.include('redis.test');
    expect(askedOfSystem).to.deep.equal([]);
    dns.behaviour = 'answers';
    expect(await addressesOf('redis.test')).to.deep.equal(['127.0.0.7']);
  });
});

describe('the files of names', () => {
  it('are read as the C library does', () => {
    expect(parseHosts('::1 Host ip6\n127.0.0.1 host\nnonsense host\n#1.1.1.1 host\n').get('host')).to.deep.equal([
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ]);
    expect(parseSearch('')).to.deep.equal({ domains: [], ndots: 1 });
    expect(parseSearch('domain a\nsearch b. c\n# search d\noptions edns0 ndots:2 rotate\n')).to.deep.equal({
      domains: ['b', 'c'],
      ndots: 2,
    });
    expect(parseSearch('search .\noptions ndots:99')).to.deep.equal({ domains: [], ndots: 15 });
    expect(candidates('a', { domains: ['x', 'y'], ndots: 1 })).to.deep.equal(['a.x', 'a.y', 'a']);
    expect(candidates('a.b', { domains: ['x'], ndots: 1 })).to.deep.equal(['a.b', 'a.b.x']);
    expect(candidates('a.', { domains: ['x'], ndots: 5 })).to.deep.equal(['a.']);
  });
});
