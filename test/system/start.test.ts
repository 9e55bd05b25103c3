// A broker that cannot start reports every reason at once, in plain words, and leaves nothing behind.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { endAllProcesses, redisPidsOn, spawnBroker } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { testServerProgram } from '../../harness/redis-server.js';

describe('a broker that cannot start', function () {
  this.timeout(30_000);
  let temp: string;
  let embedded: Record<string, string>;

  beforeEach(async () => {
    temp = await mkdtemp(join(tmpdir(), 'aizumi-start-'));
    embedded = { AIZUMI_DATA_DIR: join(temp, 'data'), AIZUMI_REDIS_SERVER: testServerProgram };
  });
  afterEach(async () => {
    endAllProcesses();
    await rm(temp, { recursive: true, force: true });
  });

  it('names every bad setting on standard error and exits with 78', async () => {
    const broker = spawnBroker({
      AIZUMI_PORT: 'http',
      AIZUMI_WORKERS: '0',
      AIZUMI_REDIS_URL: 'http://:sesame@127.0.0.1',
      AIZUMI_KEY_PREFIX: '{mine}',
      AIZUMI_VISIBILITY_TIMEOUT: '5',
    });
    expect(await broker.exited).to.equal(78);
    for (const name of ['PORT', 'WORKERS', 'REDIS_URL', 'KEY_PREFIX'])
      expect(broker.stderr).to.match(new RegExp(`^AIZUMI_${name} (must|with value) `, 'm'));
    expect(broker.stderr).to.match(/^AIZUMI_VISIBILITY_TIMEOUT is not a setting of aizumi$/m);
    expect(broker.output).not.to.include('sesame');
    expectNoStack(broker);
  });

  it('names an invalid Redis URL, and exits with 78', async () => {
    const broker = spawnBroker({ AIZUMI_REDIS_URL: 'redis://:sesame@127.0.0.1:99999' });
    expect(await broker.exited).to.equal(78);
    expect(broker.stderr).to.include('AIZUMI_REDIS_URL');
    expect(broker.output).not.to.include('sesame');
    expectNoStack(broker);
  });

  for (const workers of ['1', '2']) {
    it(`reports that its port is in use, with ${workers} worker(s)`, async () => {
      const holder = createServer().listen(0, '127.0.0.1');
      await once(holder, 'listening');
      const port = String((holder.address() as AddressInfo).port);
      const broker = spawnBroker({ ...embedded, AIZUMI_PORT: port, AIZUMI_WORKERS: workers });
      const code = await broker.exited;
      holder.close();
      expect(code).to.equal(1);
      expect(broker.output)
        .to.match(new RegExp(`${port}.* in use`))
        .and.to.include('AIZUMI_PORT');
      expectNothingLeft(broker);
    });
  }

  it('reports that its host name does not resolve', async () => {
    const broker = spawnBroker({ ...embedded, AIZUMI_HOST: 'no-such-host.invalid', AIZUMI_ALLOW_ANONYMOUS: 'true' });
    expect(await broker.exited).to.equal(1);
    expect(broker.output).to.include('no-such-host.invalid').and.to.include('AIZUMI_HOST');
    expectNothingLeft(broker);
  });

  it('reports that its host is not an address of this machine', async () => {
    const broker = spawnBroker({ ...embedded, AIZUMI_HOST: '192.0.2.1', AIZUMI_ALLOW_ANONYMOUS: 'true' });
    expect(await broker.exited).to.equal(1);
    expect(broker.output).to.include('192.0.2.1').and.to.include('AIZUMI_HOST');
    expectNothingLeft(broker);
  });

  function expectNothingLeft(broker: BrokerProcess): void {
    expectNoStack(broker);
    expect(broker.workerPids()).to.deep.equal([]);
    expect(redisPidsOn(embedded.AIZUMI_DATA_DIR!)).to.deep.equal([]);
  }
});

function expectNoStack({ output }: BrokerProcess): void {
  expect(output).not.to.match(/^\s+at .*:\d+:\d+/m);
}
