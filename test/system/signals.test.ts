// How a broker ends when it is started by npm, or when its terminal or the disk of its log fails.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { openClient } from '../../harness/keep-alive-client.js';
import { endAllProcesses, redisPidsOn, spawnBroker } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { testServerProgram } from '../../harness/redis-server.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

/** npm 9 and older ignore SIGTERM and SIGINT. */
const forwardsSignals = Number.parseInt(execFileSync('npm', ['--version'], { encoding: 'utf8' })) >= 10;

describe('signals', function () {
  this.timeout(60_000);
  let temp: string;
  let env: Record<string, string>;
  /** Brokers that outlive the process started here. */
  const brokers = new Set<number>();

  beforeEach(() => {
    temp = mkdtempSync(join(tmpdir(), 'aizumi-signals-'));
    env = { AIZUMI_DATA_DIR: join(temp, 'data'), AIZUMI_REDIS_SERVER: testServerProgram };
  });
  afterEach(() => {
    for (const pid of brokers) if (isThere(pid)) process.kill(pid, 'SIGKILL');
    brokers.clear();
    endAllProcesses();
    rmSync(temp, { recursive: true, force: true, maxRetries: 10 });
  });

  /** `npm start` with the script in package.json, but running the source, not the latest build. */
  function npmStart(workers: string): BrokerProcess {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } };
    const manifest = { name: 'aizumi', type: 'module', scripts: { start: scripts.start } };
    writeFileSync(join(temp, 'package.json'), JSON.stringify(manifest));
    mkdirSync(join(temp, 'dist'));
    const [tsx, source] = ['node_modules/tsx/dist/esm/api/index.mjs', 'src/index.ts'].map(
      (path) => pathToFileURL(resolve(path)).href,
    );
    writeFileSync(
      join(temp, 'dist/index.js'),
      `import { register } from '${tsx}';\nregister();\nawait import('${source}');\n`,
    );
    const shell = ['sh', '-c', 'cd "$1" && exec npm start', 'sh', temp];
    return spawnBroker({ ...env, AIZUMI_WORKERS: workers }, shell);
  }

  const isThere = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };

  const cases: [NodeJS.Signals, string][] = [
    ['SIGTERM', '1'],
    ['SIGTERM', '2'],
    ['SIGINT', '1'],
    ['SIGHUP', '2'],
    ['SIGKILL', '1'],
  ];
  for (const [signal, workers] of cases)
    it(`${signal} to npm drains its broker, with ${workers} worker(s), and its Redis`, async function () {
      if (!forwardsSignals && (signal === 'SIGTERM' || signal === 'SIGINT')) this.skip();
      const npm = npmStart(workers);
      const { pid } = await npm.started();
      brokers.add(pid);
      expect(pid, 'npm itself').not.to.equal(npm.pid);
      const client = openClient(npm.url);
      expect(await client.post(sendRequest(100, 1))).to.include({ status: 200 });
      const waiting = client.post({ ...recvRequest(101), wait_ms: 20_000 });
      await until(
        'the second RECV waits',
        async () => (await npm.post({ ...recvRequest(100), max: 1 })).status === 200,
      );
      npm.signal(signal);
      expect(await waiting, 'what was under way is answered').to.include({ kind: 'replied' });
      await until('the broker has ended', () => !isThere(pid), 15_000);
      client.close();
      expect(npm.lines('aizumi stops')).to.have.length(1);
      expect(redisPidsOn(env.AIZUMI_DATA_DIR!)).to.deep.equal([]);
      expect(readdirSync(join(env.AIZUMI_DATA_DIR!, 'run'))).to.deep.equal([]);
    });

  it('a broker that npm did not start keeps running when its parent ends', async () => {
    const shell = spawnBroker(env, ['sh', '-c', '"$@" & wait', 'sh']);
    const { pid } = await shell.started();
    brokers.add(pid);
    await shell.kill9();
    const client = openClient(shell.url);
    const goneMs = performance.now();
    while (performance.now() - goneMs < 600)
      expect(await client.post(sendRequest(100, 1))).to.include({ kind: 'replied', status: 200 });
    client.close();
    expect(shell.lines('aizumi stops')).to.deep.equal([]);
    process.kill(pid, 'SIGTERM');
    await until('the broker has ended', () => !isThere(pid), 15_000);
    expect(shell.lines('aizumi stops')).to.have.length(1);
  });

  it('SIGHUP drains a broker that can no longer write its log, as after its terminal was closed', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    holder.close();
    const broker = spawnBroker({ ...env, AIZUMI_PORT: String(port) }, ['sh', '-c', 'exec "$@" >/dev/full', 'sh']);
    const isReady = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until('the broker serves requests', () => broker.exitCode !== undefined || isReady(), 20_000);
    broker.signal('SIGHUP');
    expect(await broker.exited, broker.output).to.equal(0);
    expect(redisPidsOn(env.AIZUMI_DATA_DIR!)).to.deep.equal([]);
  });

  it('the log has brackets around each IPv6 address', async function () {
    const hasIpv6 = await new Promise((done) =>
      createServer()
        .once('error', () => done(false))
        .listen(0, '::1', function (this: { close(): void }) {
          this.close();
          done(true);
        }),
    );
    if (hasIpv6 !== true) this.skip();
    const ipv6 = { AIZUMI_HOST: '::1', AIZUMI_METRICS_HOST: '::1', AIZUMI_METRICS_PORT: '0' };
    const broker = spawnBroker({ ...ipv6, AIZUMI_REDIS_URL: 'redis://[::1]:1' });
    await broker.started();
    const messages = broker.log.map(({ msg }) => msg).join('\n');
    expect(messages).to.match(/aizumi listens on http:\/\/\[::1\]:\d+$/m);
    expect(messages).to.match(/metrics are at http:\/\/\[::1\]:\d+\/metrics$/m);
    expect(broker.log.map(({ reason }) => reason)).to.include('connect ECONNREFUSED [::1]:1');
    const [, url = ''] = /listens on (\S+)/.exec(messages) ?? [];
    expect((await fetch(new URL('/livez', url))).status).to.equal(200);
    expect(await broker.stop()).to.equal(0);
  });
});
