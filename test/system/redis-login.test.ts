// The login to Redis with credentials from files: TLS with a private authority, and a user with only the required permissions.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { makeCertificates } from '../support/certificates.js';
import type { Certificates } from '../support/certificates.js';
import { ask } from '../../harness/ask.js';
import { freePort, startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { startClusterStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

/** The permissions that docs/tls.md lists. */
const RULE = /^user aizumi on >change-me (.*)$/m.exec(readFileSync('docs/tls.md', 'utf8'))![1]!.split(' ');
const IN_CLUSTER = ['+cluster|info', '+cluster|slots', '+cluster|nodes', '+readonly', '+asking'];
const ALLOWED = RULE.filter((word) => word.startsWith('+')).map((word) => word.slice(1));

/** What Redis denied the user. Redis 7.0 does not know client|setinfo, which is optional. */
async function refused(port: number): Promise<string[]> {
  const log = (await ask(port, 'ACL', 'LOG')) as string[][];
  return log.map((entry) => entry[entry.indexOf('object') + 1]!).filter((what) => what !== 'client|setinfo');
}

describe('the login to Redis', function () {
  this.timeout(60_000);
  let certificates: Certificates;
  let server: TestServer;
  let broker: TestBroker | undefined;
  let settings: Record<string, string>;
  let passwordFile: string;

  before(async () => {
    certificates = makeCertificates();
    const tlsPort = await freePort();
    const { certificate, key } = certificates.server;
    const tls = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificates.ca];
    server = await startRedisServer({ args: ['--tls-port', `${tlsPort}`, '--tls-auth-clients', 'yes', ...tls] });
    const identity = certificates.issue('aizumi');
    passwordFile = join(certificates.folder, 'password');
    settings = {
      AIZUMI_KEY_PREFIX: 'aizumi',
      AIZUMI_REDIS_URL: `rediss://127.0.0.1:${tlsPort}`,
      AIZUMI_REDIS_CA_FILE: certificates.ca,
      AIZUMI_REDIS_CERT_FILE: identity.certificate,
      AIZUMI_REDIS_KEY_FILE: identity.key,
      AIZUMI_REDIS_USERNAME: 'aizumi',
      AIZUMI_REDIS_PASSWORD_FILE: passwordFile,
    };
  });
  beforeEach(async () => {
    writeFileSync(passwordFile, 'change-me\n');
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', 'reset', 'on', '>change-me', ...RULE);
    await ask(server.port, 'ACL', 'LOG', 'RESET');
    await ask(server.port, 'CONFIG', 'RESETSTAT');
  });
  afterEach(async () => {
    await broker?.stop();
    broker = undefined;
    await ask(server.port, 'FLUSHALL');
  });
  after(async () => {
    await server.stop();
    certificates.remove();
  });

  async function done(...requests: object[]): Promise<Record<string, any>[]> {
    const replies: Record<string, any>[] = [];
    for (const request of requests) {
      const { json } = await broker!.post(request);
      expect(json.code, `${JSON.stringify(request)}: ${JSON.stringify(json)}`).to.equal(200);
      replies.push(json);
    }
    return replies;
  }
  const id = (msgType: string, more: object): object => ({ msg_type: msgType, saddr: 100, daddr: 5000, ...more });

  /** Uses every command that the broker sends to Redis. */
  async function useAll(): Promise<void> {
    await done(heloRequest(100), sendRequest(100, 1), { ...sendRequest(100, 2), dedup: true, ttl_ms: 60_000 });
    await done({ ...sendRequest(100, 2), dedup: true, ttl_ms: 60_000 }, { ...sendRequest(100, 3), delay_ms: 1 });
    await done({ ...recvRequest(100), attempt_id: 'a' }, { ...recvRequest(100), attempt_id: 'a' });
    await done(id('MSG_KEEP_REQ', { id: 1, visibility_timeout_ms: 60_000 }), id('MSG_BACK_REQ', { id: 1 }));
    await done(recvRequest(100), id('MSG_BACK_REQ', { id: 1, delay_ms: 1 }), { ...recvRequest(100), max: 10 });
    await done(freeRequest(100, 2), statRequest(100), gbyeRequest(100));
    for (const state of ['waiting', 'leased', 'delayed', 'dead']) await done(id('MSG_PEEK_REQ', { state }));
    // a message that becomes dead: delivered once, and its lease ends
    const strict = { visibility_timeout_ms: 1, max_deliveries: 1, max_queue_length: 10, ttl_ms: 60_000 };
    await done({ ...heloRequest(200), settings: strict }, sendRequest(200, 1), recvRequest(200));
    await until('the lease has ended', async () => (await broker!.post(recvRequest(200))).status === 404);
    await done(
      { ...id('MSG_MOVE_REQ', { ids: [1] }), saddr: 200 },
      { ...heloRequest(200), settings: { ttl_ms: null } },
    );
    await done({ ...sendRequest(300, 1), ttl_ms: 1, delay_ms: 60_000 });
    for (const state of ['waiting', 'delayed']) await done({ ...id('MSG_DROP_REQ', { state }), saddr: 300 });
    await done({ ...sendRequest(100, 9), dedup: true }, { ...recvRequest(100), max: 10 }, freeRequest(100, 9));
    for (const address of [100, 200, 300]) await done(gbyeRequest(address));
    // a message that expires undelivered
    await done({ ...sendRequest(600, 1), ttl_ms: 1 });
    await pause(10);
    expect((await broker!.post(recvRequest(600))).status).to.equal(404);
    for (const path of ['queues', 'queues?prefix=1', 'livez', 'readyz'])
      expect((await fetch(broker!.url + path)).status, path).to.equal(200);
    // a RECV that waits
    const waits = broker!.post({ ...recvRequest(400), wait_ms: 10_000 });
    await until('the RECV waits', async () =>
      String(await ask(server.port, 'CLIENT', 'LIST')).includes('aizumi-changes'),
    );
    await done(sendRequest(400, 1));
    expect((await waits).status).to.equal(200);
    // refused, since there are no replicas, but Redis was asked about them
    const { json } = await broker!.post({ ...sendRequest(500, 1), durability: 'quorum' });
    expect(json.error).to.include({ reason: 'not_durable' });
  }

  it('needs exactly the commands, keys and channel listed in docs/tls.md, for all message types together', async function () {
    this.timeout(60_000);
    broker = await startBroker({ ...settings, AIZUMI_REPLICATION_NODES: '2', AIZUMI_DURABILITY_TIMEOUT_MS: '200' });
    await useAll();
    expect(await refused(server.port)).to.deep.equal([]);
    const stats = await until(
      'the background check of the register has run',
      async () => {
        const info = String(await ask(server.port, 'INFO', 'commandstats'));
        return info.includes('cmdstat_zmscore') && info;
      },
      30_000,
    );
    const used = [...stats.matchAll(/^cmdstat_(\S+?):/gm)].map(([, name]) => name);
    expect(
      ALLOWED.filter((command) => !used.includes(command)),
      'allowed and never used',
    ).to.deep.equal([]);
    for (const client of String(await ask(server.port, 'CLIENT', 'LIST')).match(/name=aizumi.*/g)!)
      expect(client).to.contain('user=aizumi');
  });

  it('with too few permissions leads to an error for the client', async () => {
    broker = await startBroker(settings);
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', '-xadd');
    const { status, json } = await broker.post(sendRequest(100, 1));
    expect(status).to.equal(503);
    // the error occurs within a running script
    expect(json.error).to.include({ reason: 'unavailable', outcome: 'unknown' });
    expect((json.error as { message: string }).message).to.contain("Redis's ACL does not let aizumi do this");
  });

  it('with too few permissions keeps the broker from starting, and the log names those missing', async () => {
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', '-zadd', '-xgroup|create', '-wait');
    const error = await startBroker(settings).then(
      (started) => void (broker = started),
      (reason: unknown) => reason as Error,
    );
    expect(error?.message).to.contain('add +wait +xgroup|create +zadd (docs/tls.md)');
    expect(await ask(server.port, 'KEYS', '*')).to.deep.equal([]);
  });

  it('that loses a permission in operation and gets it back loses no message', async () => {
    broker = await startBroker(settings);
    for (let id = 0; id < 40; id++) await done(sendRequest(100, id));
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', '-zadd');
    const { status, json } = await broker.post(recvRequest(100));
    expect(status).to.equal(503);
    expect(json.error).to.include({ reason: 'unavailable', outcome: 'unknown' });
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', '+zadd');
    const ids = new Set<unknown>();
    for (let i = 0; i < 40; i++) ids.add((await done({ ...recvRequest(100), visibility_timeout_ms: 60_000 }))[0]!.id);
    expect(ids.size).to.equal(40);
    expect((await broker.post(recvRequest(100))).status).to.equal(404);
  });

  it('uses the current password in the file at each connection', async () => {
    broker = await startBroker(settings);
    await done(sendRequest(100, 1));
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', '>another', '<change-me');
    await ask(server.port, 'CLIENT', 'KILL', 'USER', 'aizumi');
    await until('the login is refused', async () => (await broker!.post(statRequest(100))).status === 503);
    writeFileSync(passwordFile, 'another');
    await until('the login succeeds', async () => (await broker!.post(statRequest(100))).status === 200);
    await done(recvRequest(100));
  });

  it('uses the current certificate in the file at each connection, and ignores a malformed one', async () => {
    const file = join(certificates.folder, 'authority');
    writeFileSync(file, readFileSync(certificates.ca));
    broker = await startBroker({ ...settings, AIZUMI_REDIS_CA_FILE: file });
    writeFileSync(file, '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n');
    await ask(server.port, 'CLIENT', 'KILL', 'USER', 'aizumi');
    await until('the broker serves requests again', async () => (await broker!.post(statRequest(100))).status === 200);
    const strangers = makeCertificates();
    writeFileSync(file, readFileSync(strangers.ca));
    strangers.remove();
    await ask(server.port, 'CLIENT', 'KILL', 'USER', 'aizumi');
    await until(
      'the certificate of Redis is refused',
      async () => (await broker!.post(statRequest(100))).status === 503,
    );
    writeFileSync(file, readFileSync(certificates.ca));
    await until(
      'the certificate of Redis is accepted again',
      async () => (await broker!.post(statRequest(100))).status === 200,
    );
  });

  describe('to a Cluster', () => {
    let stack: Stack;
    before(async () => (stack = await startClusterStack({ primaries: 3, replicasEach: 1 })));
    after(() => stack.stop());

    it('is the same at all nodes', async () => {
      for (const { port } of stack.nodes)
        await ask(port, 'ACL', 'SETUSER', 'aizumi', 'on', '>change-me', ...RULE, ...IN_CLUSTER);
      const { AIZUMI_KEY_PREFIX, AIZUMI_REDIS_USERNAME, AIZUMI_REDIS_PASSWORD_FILE } = settings as Record<string, any>;
      broker = await startBroker({
        AIZUMI_KEY_PREFIX,
        AIZUMI_REDIS_USERNAME,
        AIZUMI_REDIS_PASSWORD_FILE,
        AIZUMI_REDIS_URL: stack.url,
      });
      for (let address = 0; address < 20; address++)
        await done(sendRequest(address, 1), { ...recvRequest(address), wait_ms: 100 }, freeRequest(address, 1));
      // quorum too, which uses separate connections
      await done({ ...sendRequest(1, 1), durability: 'all' });
      for (const { port } of stack.nodes) {
        expect(await refused(port)).to.deep.equal([]);
        for (const client of String(await ask(port, 'CLIENT', 'LIST')).match(/name=aizumi.*/g) ?? [])
          expect(client).to.contain('user=aizumi');
      }
    });
  });
});
