// rediss+sentinel: TLS to the Sentinels, to the primary and between the Redis nodes, with certificates that the worker verifies.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ask } from '../../harness/ask.js';
import type { Reply } from '../../harness/broker.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { freePort, startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

interface TlsServer extends TestServer {
  readonly tlsPort: number;
}

describe('TLS', function () {
  this.timeout(30_000);
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-tls-'));
  const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const servers: TlsServer[] = [];
  let url: string;

  /** Redis with TLS; the plain port is for the test itself. */
  async function startTlsServer(conf?: string, ...more: string[]): Promise<TlsServer> {
    const tlsPort = await freePort();
    const tls = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate];
    const args = [...more, '--tls-port', `${tlsPort}`, '--tls-replication', 'yes', '--tls-auth-clients', 'no', ...tls];
    const server = Object.assign(await startRedisServer({ args, ...(conf !== undefined && { conf }) }), { tlsPort });
    servers.push(server);
    return server;
  }

  before(async () => {
    // a self-signed certificate
    const subject = ['-subj', '/CN=aizumi', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const elliptic = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];
    execFileSync('openssl', ['req', '-x509', ...elliptic, ...subject, '-keyout', key, '-out', certificate], {
      stdio: 'ignore',
    });
    const primary = await startTlsServer(undefined, '--repl-diskless-sync-delay', '0');
    const replica = await startTlsServer(undefined, '--replicaof', '127.0.0.1', `${primary.tlsPort}`);
    const watch = `sentinel monitor mymaster 127.0.0.1 ${primary.tlsPort} 1\n`;
    const sentinel = await startTlsServer(watch, '--sentinel');
    await until('the Sentinel lists the replica', async () => {
      const replicas = (await ask(sentinel.port, 'SENTINEL', 'REPLICAS', 'mymaster')) as string[][];
      return replicas.some((facts) => facts.includes(`127.0.0.1:${replica.tlsPort}`) && facts.includes('slave'));
    });
    await until('the replica is in sync', async () =>
      String(await ask(primary.port, 'INFO', 'replication')).includes('state=online'),
    );
    url = `rediss+sentinel://127.0.0.1:${sentinel.tlsPort}/mymaster`;
  });
  after(async () => {
    endAllProcesses();
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true });
  });

  const sendAtQuorum = (broker: BrokerProcess, id: number): Promise<Reply> =>
    broker.post({ ...sendRequest(100, id), durability: 'quorum' });

  it('is used to Sentinels, primary and replica: a SEND at quorum is on both, and refused without the replica', async () => {
    const [primary, replica] = servers as [TlsServer, TlsServer];
    const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: url, NODE_EXTRA_CA_CERTS: certificate });
    await until('quorum is acknowledged', async () => (await sendAtQuorum(broker, 1)).status === 200);
    for (const { port } of [primary, replica]) expect(await ask(port, 'XLEN', 'aizumi:{100}:queue')).to.equal(1);
    const clients = String(await ask(primary.port, 'CLIENT', 'LIST')).match(/laddr=\S+ .*name=aizumi\S*/g)!;
    for (const client of clients) expect(client).to.contain(`laddr=127.0.0.1:${primary.tlsPort} `);
    expect(clients.join('\n'))
      .to.match(/name=aizumi$/m)
      .and.to.match(/name=aizumi-durable$/m);
    replica.pause();
    const { status, json } = await sendAtQuorum(broker, 2);
    expect(status).to.equal(503);
    expect(json.error).to.include({ reason: 'not_durable' });
    replica.resume();
  });

  it('uses the authority, the user and the password from files for every node', async () => {
    const [primary, replica] = servers as [TlsServer, TlsServer];
    for (const { port } of [primary, replica])
      await ask(port, 'ACL', 'SETUSER', 'worker', 'on', '>sesame', '~*', '&*', '+@all');
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'sesame\n');
    const broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: url,
      AIZUMI_REDIS_CA_FILE: certificate,
      AIZUMI_REDIS_USERNAME: 'worker',
      AIZUMI_REDIS_PASSWORD_FILE: passwordFile,
    });
    await until('quorum is acknowledged', async () => (await sendAtQuorum(broker, 4)).status === 200);
    // brokers of other tests use other users
    const clients = String(await ask(primary.port, 'CLIENT', 'LIST'));
    expect(clients)
      .to.match(/name=aizumi .*user=worker/)
      .and.to.match(/name=aizumi-durable .*user=worker/);
    expect(broker.output).not.to.contain('sesame');
    await broker.stop();
  });

  it('refuses servers whose certificate cannot be verified', async () => {
    const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: url });
    expect((await sendAtQuorum(broker, 3)).status).to.equal(503);
    await until('the reason is logged', () => broker.output.includes('self-signed certificate'));
  });
});
