// TLS for clients: who is admitted, what others are answered, and certificates that change while connections stay open.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import type { AgentOptions } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, PeerCertificate, TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import { startWorker } from '../../src/worker.js';
import type { Worker } from '../../src/worker.js';
import { makeCertificates } from '../support/certificates.js';
import type { Certificates, Pair } from '../support/certificates.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import { freePort } from '../../harness/redis-server.js';
import { recvRequest, statRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

const STAT = JSON.stringify(statRequest(1));

describe('http/tls', function () {
  this.timeout(30_000);
  let certificates: Certificates;
  let ca: string;
  let worker: Worker | undefined;
  const lines: { level: number; msg: string }[] = [];

  before(() => {
    certificates = makeCertificates();
    ca = readFileSync(certificates.ca, 'utf8');
  });
  afterEach(async () => {
    await worker?.stop();
    worker = undefined;
    lines.length = 0;
    endAllProcesses();
  });
  after(() => certificates.remove());

  async function start(settings: Record<string, string> = {}): Promise<number> {
    const config = loadConfig({
      AIZUMI_PORT: '0',
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `tls${process.pid}`,
      ...certificates.settings,
      ...settings,
    });
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    worker = await startWorker(config, config.redisUrl!, Date.now(), log);
    return worker.port;
  }

  /** @returns the status of a STAT @throws Error if the TLS handshake fails */
  async function stat(port: number, options: AgentOptions = {}): Promise<number> {
    const agent = new Agent({ keepAlive: false, ca, ...options });
    const headers = { 'content-type': 'application/json' };
    const sent = httpsRequest({ host: '127.0.0.1', port, method: 'POST', headers, agent }).end(STAT);
    const [response] = (await once(sent, 'response')) as [{ statusCode: number; resume: () => void }];
    response.resume();
    return response.statusCode;
  }

  async function open(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connectTls({ host: '127.0.0.1', port, ca, ...options });
    await once(socket, 'secureConnect');
    return socket;
  }

  const failureOf = (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'none',
      (error: unknown) => String(error),
    );

  const identityOf = ({ certificate, key }: Pair): AgentOptions => ({
    cert: readFileSync(certificate),
    key: readFileSync(key),
  });

  it('serves TLS 1.2 and 1.3, and nothing older', async () => {
    const port = await start();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      expect(await stat(port, { minVersion: version, maxVersion: version })).to.equal(200);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await failureOf(stat(port, old))).to.contain('alert protocol version');
  });

  it('answers plain HTTP with an error that says to use https', async () => {
    const port = await start();
    const connection = await openConnection(`http://127.0.0.1:${port}`);
    connection.write(httpRequest(STAT));
    const { status, text } = await connection.reply();
    expect([status, text]).to.deep.equal([
      400,
      '{"code":400,"status":"Bad Request","error":{"reason":"invalid_request","message":"this port speaks TLS: use https://","details":[]}}',
    ]);
    expect(await connection.closed()).to.equal('');
    expect(await stat(port)).to.equal(200);
  });

  it('keeps serving after a client has broken off its handshake or sent garbage', async () => {
    const port = await start();
    for (const bytes of [Buffer.from('16030100c8010000c4', 'hex'), Buffer.alloc(1000, 0x16), Buffer.alloc(64)]) {
      const connection = await openConnection(`http://127.0.0.1:${port}`);
      connection.write(bytes);
      connection.end();
      await connection.closed();
      const other = await openConnection(`http://127.0.0.1:${port}`);
      other.write(bytes);
      other.reset();
    }
    expect(await stat(port)).to.equal(200);
  });

  describe('with a certificate authority for clients', () => {
    it('admits only clients with a certificate from it', async () => {
      const port = await start({ AIZUMI_TLS_CLIENT_CA_FILE: certificates.ca });
      expect(await stat(port, identityOf(certificates.issue('client')))).to.equal(200);
      const strangers = makeCertificates();
      const stranger = identityOf(strangers.issue('client'));
      strangers.remove();
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
        for (const identity of [{}, stranger]) {
          const failure = await failureOf(stat(port, { ...identity, minVersion: version, maxVersion: version }));
          expect(failure, 'it got in').not.to.equal('none');
        }
    });

    it('still refuses all others while the file of the authority is malformed', async () => {
      const file = join(certificates.folder, 'authority');
      copyFileSync(certificates.ca, file);
      const port = await start({ AIZUMI_TLS_CLIENT_CA_FILE: file });
      writeFileSync(file, 'no certificate');
      await until('it logs an error', () => lines.some(({ level }) => level === 50), 10_000);
      expect(await stat(port, identityOf(certificates.issue('client')))).to.equal(200);
      expect(await failureOf(stat(port))).not.to.equal('none');
    });

    it('serves the probes, and nothing else, on a port of their own', async () => {
      const probePort = await freePort();
      await start({ AIZUMI_TLS_CLIENT_CA_FILE: certificates.ca, AIZUMI_PROBE_PORT: `${probePort}` });
      const url = `http://127.0.0.1:${probePort}`;
      await until('the worker is ready', async () => (await fetch(`${url}/readyz`)).ok);
      expect((await fetch(`${url}/livez`)).status).to.equal(200);
      expect((await fetch(url, { method: 'POST', body: STAT })).status).to.equal(404);
      expect((await fetch(`${url}/queues`)).status).to.equal(404);
    });
  });

  describe('certificates that change', () => {
    let folder: string;
    let settings: Record<string, string>;
    let version = 0;

    /** As Kubernetes replaces a Secret: a symbolic link to a folder, swapped atomically. */
    function mount(certificate: string, key: string): void {
      version += 1;
      mkdirSync(join(folder, `v${version}`));
      copyFileSync(certificate, join(folder, `v${version}`, 'tls.crt'));
      copyFileSync(key, join(folder, `v${version}`, 'tls.key'));
      symlinkSync(`v${version}`, join(folder, '..next'));
      renameSync(join(folder, '..next'), join(folder, '..data'));
    }

    before(() => {
      folder = join(certificates.folder, 'mounted');
      mkdirSync(folder);
      mount(certificates.server.certificate, certificates.server.key);
      for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(folder, name));
      settings = {
        AIZUMI_TLS_CERT_FILE: join(folder, 'tls.crt'),
        AIZUMI_TLS_KEY_FILE: join(folder, 'tls.key'),
      };
    });

    async function nameSeen(port: number): Promise<string> {
      const socket = await open(port);
      const { subject } = socket.getPeerCertificate() as PeerCertificate & { subject: { CN: string } };
      socket.destroy();
      return subject.CN;
    }

    it('are used for new connections, while open ones stay open', async () => {
      const port = await start(settings);
      expect(await nameSeen(port)).to.equal('server');
      const kept = await openConnection(`https://127.0.0.1:${port}`);
      const { certificate, key } = certificates.issue('next');
      mount(certificate, key);
      await until('the new certificate is used', async () => (await nameSeen(port)) === 'next');
      kept.write(httpRequest(STAT));
      expect((await kept.reply()).status).to.equal(200);
      kept.destroy();
    });

    it('are not loaded while they are malformed, which is logged once', async () => {
      const port = await start(settings);
      const before = await nameSeen(port);
      const other = certificates.issue('other');
      mount(other.certificate, certificates.server.key);
      const complaints = (): string[] => lines.filter(({ level }) => level === 50).map(({ msg }) => msg);
      await until('it logs an error', () => complaints().length > 0, 10_000);
      expect(complaints()[0]).to.match(/^AIZUMI_TLS_CERT_FILE and AIZUMI_TLS_KEY_FILE cannot be used: .*mismatch/);
      expect(await nameSeen(port)).to.equal(before);
      writeFileSync(join(certificates.folder, 'nonsense'), 'no certificate');
      mount(join(certificates.folder, 'nonsense'), other.key);
      await until('it logs another error', () => complaints().length > 1, 10_000);
      mount(other.certificate, other.key);
      await until('the new certificate is used', async () => (await nameSeen(port)) === 'other');
      expect(complaints()).to.have.length(2);
    });
  });

  it('stops like without TLS: requests in progress are answered, idle connections and handshakes are closed', async () => {
    const port = await start();
    const url = `https://127.0.0.1:${port}`;
    const [idle, waiting] = [await openConnection(url), await openConnection(url)];
    idle.write(httpRequest(STAT));
    expect((await idle.reply()).headers.connection).to.equal('keep-alive');
    const silent = connectTcp(port, '127.0.0.1');
    await once(silent, 'connect');
    const silentGone = once(
      silent.on('error', () => undefined),
      'close',
    );
    waiting.write(httpRequest(JSON.stringify({ ...recvRequest(7), wait_ms: 20_000 })));
    await until('the RECV waits', async () => {
      idle.write(httpRequest(JSON.stringify(statRequest(7))));
      return (await idle.reply()).status === 200;
    });
    const startedMs = performance.now();
    const stopped = worker!.stop();
    worker = undefined;
    idle.write(httpRequest(STAT));
    expect((await idle.reply()).headers.connection).to.equal('close');
    const { status, headers } = await waiting.reply();
    expect([status, headers.connection]).to.deep.equal([404, 'close']);
    await stopped;
    await silentGone;
    // after 9 s the connection would be closed by force
    expect(performance.now() - startedMs).to.be.below(8_500);
  });

  it('works with several workers, whose health check needs no client certificate', async () => {
    const [port, probePort] = [await freePort(), await freePort()];
    const settings = { AIZUMI_PORT: `${port}`, AIZUMI_PROBE_PORT: `${probePort}`, ...certificates.settings };
    const broker = await startBrokerProcess({
      ...settings,
      AIZUMI_WORKERS: '2',
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_TLS_CLIENT_CA_FILE: certificates.ca,
    });
    expect(broker.lines('aizumi listens on')[0]).to.include({ msg: `aizumi listens on https://127.0.0.1:${port}` });
    const identity = identityOf(certificates.issue('client'));
    for (let n = 0; n < 4; n++) expect(await stat(port, identity)).to.equal(200);
    const check = (env: Record<string, string>, ...args: string[]): number | null =>
      spawnSync(process.execPath, ['--import', 'tsx', 'src/bin/healthcheck.ts', ...args], {
        env: { PATH: process.env.PATH, ...env },
      }).status;
    expect(check(settings)).to.equal(0);
    expect(check(settings, 'readyz')).to.equal(0);
    expect(check({ AIZUMI_PORT: `${await freePort()}` })).to.equal(1);
    // without a probe port, the health check asks on the main port
    const plain = await startBrokerProcess({ ...certificates.settings, AIZUMI_REDIS_URL: (await sharedRedis()).url });
    expect(
      check({ AIZUMI_PORT: String(plain.lines('aizumi listens on')[0]!.port), ...certificates.settings }),
    ).to.equal(0);
  });

  it('does not start if the files are not a certificate and its key, and names the setting', async () => {
    const failure = await failureOf(start({ AIZUMI_TLS_KEY_FILE: certificates.server.certificate }));
    expect(failure).to.match(/AIZUMI_TLS_CERT_FILE and AIZUMI_TLS_KEY_FILE cannot be used: /);
  });
});
