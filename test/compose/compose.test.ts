// The real stack of docker-compose.yml: npm run test:compose. Each test leaves the stack complete for the next.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { post } from '../../harness/broker.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import {
  build,
  compose,
  container,
  containers,
  docker,
  down,
  healthy,
  primary,
  redis,
  up,
  url,
  whole,
} from './stack.js';
import { startSteadyLoad } from './steady-load.js';
import { watch } from './watched-load.js';

/** The protocol tests that only check replies of a broker with default settings. */
const OF_REPLIES =
  'examples of the specification|as a number|fixed struct|received exactly|may stand|other fields|in the order of sending|waiting, and one that another receiver';

/** A drain takes at most 9.5 s. */
const DRAIN_S = 9.5;

async function kill(service: string): Promise<string> {
  const id = await container(service);
  await docker('kill', id);
  return id;
}

describe('docker-compose', function () {
  this.timeout(180_000);
  before(async function () {
    this.timeout(600_000);
    await build();
    await up();
    await whole();
  });
  after(down);

  it('passes the protocol tests through the balancer', async () => {
    const child = spawn(
      'npx',
      ['mocha', '--reporter', 'dot', '--forbid-only', 'test/http/protocol.test.ts', '-g', OF_REPLIES],
      { env: { ...process.env, AIZUMI_TEST_BROKER: url }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const [code] = (await once(child, 'close')) as [number];
    expect(code, output).to.equal(0);
    expect(Number(/(\d+) passing/.exec(output)?.[1])).to.be.above(40);
  });

  it('refuses requests without a key, and has no key in its logs', async () => {
    const key = process.env.AIZUMI_TEST_KEY!;
    expect(key).to.match(/^aizumi_[\w-]{43}$/);
    for (const authorization of ['', `Bearer ${key}x`]) {
      const { status, headers, json } = await post(url, sendRequest(9_999, 1), { authorization });
      expect([status, headers.get('www-authenticate')]).to.deep.equal([401, 'Bearer']);
      expect(json.error).to.include({ reason: 'unauthenticated' });
    }
    expect(await compose('--profile', '*', 'logs', '--no-color')).not.to.include(key.slice(7));
  });

  it('runs everything without root, with a read-only root file system and within limits', async () => {
    const ids = (await compose('ps', '--quiet')).split('\n');
    expect(ids).to.have.length(9);
    const facts = JSON.parse(await docker('inspect', ...ids)) as any[];
    for (const { Name, Config, HostConfig } of facts) {
      expect(Config.User, Name).to.match(/^(1000:1000|99:99|redis)$/);
      expect(HostConfig.ReadonlyRootfs, Name).to.equal(true);
      expect(HostConfig.CapDrop, Name).to.deep.equal(['ALL']);
      expect(HostConfig.SecurityOpt, Name).to.deep.equal(['no-new-privileges:true']);
      expect(HostConfig.Memory, Name).to.be.above(0);
      expect(HostConfig.NanoCpus, Name).to.be.above(0);
      expect(Config.StopTimeout, Name).to.be.above(DRAIN_S);
      const published = Object.values(HostConfig.PortBindings as Record<string, { HostIp: string }[]>).flat();
      expect(
        published.map(({ HostIp }) => HostIp),
        Name,
      ).to.deep.equal(Name.includes('balancer') ? ['127.0.0.1'] : []);
    }
  });

  it('requires a password for Redis, and gives workers only the permissions that they need', async () => {
    const plain = ['exec', '--no-TTY', 'redis-1', 'redis-cli'];
    expect(await compose(...plain, 'PING')).to.contain('NOAUTH');
    const clients = await redis(await primary(), 'CLIENT', 'LIST');
    const workers = clients.split('\n').filter((line) => line.includes('name=aizumi'));
    expect(workers).not.to.deep.equal([]);
    for (const line of workers) expect(line).to.contain('user=aizumi');
    const password = await compose('exec', '--no-TTY', 'redis-1', 'cat', '/passwords/aizumi/password');
    for (const command of [['FLUSHALL'], ['CONFIG', 'GET', 'requirepass'], ['GET', 'of-others']])
      expect(await compose(...plain, '--user', 'aizumi', '--pass', password, ...command)).to.contain('NOPERM');
    const logs = await compose('--profile', '*', 'logs', '--no-color');
    const ofNodes = await compose('exec', '--no-TTY', 'redis-1', 'cat', '/passwords/redis/password');
    for (const secret of [password, ofNodes]) {
      expect(secret).to.match(/^[0-9a-f]{64}$/);
      expect(logs).not.to.include(secret);
    }
  });

  it('keeps Redis on a network that only the workers can reach', async () => {
    const networksOf = async (service: string): Promise<string[]> => {
      const format = '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}';
      return (await docker('inspect', '--format', format, await container(service))).trim().split(' ').sort();
    };
    expect(await networksOf('balancer')).to.deep.equal(['aizumi-test_clients']);
    expect(await networksOf('aizumi')).to.deep.equal(['aizumi-test_clients', 'aizumi-test_redis']);
    for (const service of ['redis-1', 'sentinel-1'])
      expect(await networksOf(service)).to.deep.equal(['aizumi-test_redis']);
    expect(await docker('network', 'inspect', '--format', '{{.Internal}}', 'aizumi-test_redis')).to.equal('true');
  });

  it('loses nothing when the primary, a worker and a Sentinel are killed', async () => {
    const killed: string[] = [];
    const result = await watch(
      [
        { name: 'primary killed', kind: 'failover', strike: async () => killed.push(await kill(await primary())) },
        { name: 'worker killed', kind: 'worker', calmMs: 2_000, strike: async () => killed.push(await kill('aizumi')) },
        {
          name: 'Sentinel killed',
          kind: 'other',
          calmMs: 2_000,
          strike: async () => killed.push(await kill('sentinel-1')),
        },
      ],
      {
        first: 10_000,
        async heal() {
          await docker('start', ...killed);
          for (const id of killed) await healthy(id);
          await whole();
        },
      },
    );
    console.log(`      ${result.acknowledged} acknowledged, ${result.silences.join(', ')}`);
    expect(result.violations).to.deep.equal([]);
  });

  it('loses nothing when the primary dies and Docker restarts it at once, even if it comes back empty', async () => {
    const seen = { killed: '', emptied: '' };
    const result = await watch(
      [
        {
          name: 'primary restarted',
          kind: 'failover',
          isPromised: false, // two faults at once
          async strike() {
            seen.killed = await primary();
            // not with `docker kill`, after which Docker does not restart it
            await compose('exec', '-T', seen.killed, 'sh', '-c', 'kill -9 $(busybox pidof redis-server)');
          },
        },
        {
          name: 'primary emptied',
          kind: 'failover',
          isPromised: false, // two faults at once
          async strike() {
            await whole();
            seen.emptied = await primary();
            await compose('rm', '--stop', '--force', '--volumes', seen.emptied);
            await docker('volume', 'rm', `aizumi-test_${seen.emptied}`);
            await compose('up', '--detach', '--no-build', '--no-deps', seen.emptied);
          },
        },
      ],
      { first: 11_000, heal: () => whole() },
    );
    console.log(`      ${result.acknowledged} acknowledged, ${result.silences.join(', ')}`);
    expect(result.violations).to.deep.equal([]);
    expect(seen.emptied).not.to.equal(seen.killed); // the first came back as a replica, and so did the second
    expect(await redis(seen.emptied, 'ROLE')).to.match(/^slave\n/);
  });

  it('hands over when the primary is stopped: nothing is lost, and no Sentinel has to detect a failure', async () => {
    const told: string[] = [];
    const tellToStop = async (): Promise<void> => {
      const service = await primary();
      const id = await container(service);
      await docker('stop', '--time', '40', id);
      expect(await compose('logs', '--no-color', service)).to.match(/hand-over: \S+ leads, after \d+ ms/);
      expect(await docker('inspect', '--format', '{{.State.ExitCode}}', id)).to.equal('0');
      told.push(id);
    };
    const result = await watch([{ name: 'primary told to stop', kind: 'failover', strike: tellToStop }], {
      first: 17_000,
      async heal() {
        for (const id of told) {
          await docker('start', id);
          await healthy(id);
        }
        await whole();
      },
    });
    console.log(`      ${result.acknowledged} acknowledged, ${result.silences.join(', ')}`);
    expect(result.violations).to.deep.equal([]);
  });

  it('keeps the messages when everything is stopped and started', async () => {
    await post(url, sendRequest(12_000, 7, 'kept'));
    await compose('stop');
    await compose('up', '--detach', '--no-build', '--wait');
    await whole();
    expect((await post(url, recvRequest(12_000))).json).to.include({ id: 7, payload: 'kept' });
  });

  it('scales from 2 workers to 4 and back without an unknown outcome', async () => {
    const scale = (to: number) => () =>
      compose('up', '--detach', '--no-build', '--no-recreate', '--scale', `aizumi=${to}`, 'aizumi');
    const { history, violations } = await watch(
      [
        { name: 'to 4', kind: 'other', calmMs: 2_000, strike: scale(4) },
        { name: 'to 2', kind: 'other', calmMs: 2_000, strike: scale(2) },
      ],
      { first: 13_000, heal: () => whole() },
    );
    expect(violations).to.deep.equal([]);
    const requests = [history.attempts, history.receives, history.frees].flat();
    expect(requests.filter(({ answer }) => answer === 'unknown')).to.deep.equal([]);
  });

  it('fails no request, of 500 a second, while all workers are restarted one after the other', async () => {
    const load = startSteadyLoad(url, 500, 14_000);
    await pause(1_000);
    for (const id of await containers('aizumi')) {
      await docker('restart', '--time', '12', id);
      await healthy(id);
    }
    const { requests, seconds, failed } = await load.stop();
    console.log(`      ${requests} requests, ${Math.round(requests / seconds)} a second`);
    expect(requests).to.be.above(1_000);
    expect(failed).to.deep.equal([]);
  });
});
