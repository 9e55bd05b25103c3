// The log of a broker that fails in several ways: small, without secrets, with the ids that clients have; and its level by a signal.
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { openClient } from '../../harness/keep-alive-client.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const PASSWORD = 'open/sesame&=42';
const PAYLOAD = 'nobody-else-reads-this';
const TOKEN = 'token-of-a-client';

describe('the log', function () {
  this.timeout(60_000);
  let server: TestServer;
  let broker: BrokerProcess;

  afterEach(async () => {
    endAllProcesses();
    await server.stop();
  });

  async function start(env: Record<string, string> = {}, args: string[] = []): Promise<void> {
    server = await startRedisServer({ args });
    broker = await startBrokerProcess({ AIZUMI_REDIS_URL: server.url, ...env });
    await until('it serves', async () => (await fetch(`${broker.url}readyz`)).ok);
  }

  it('stays small in an outage under load, and still has every kind of failure', async () => {
    await start();
    for (let address = 100; address < 108; address++) await broker.post(sendRequest(address, 1));
    await server.kill9();
    const clients = Array.from({ length: 8 }, () => openClient(broker.url));
    const untilMs = performance.now() + 3_000;
    let refused = 0;
    await Promise.all(
      clients.map(async ({ post }, i) => {
        while (performance.now() < untilMs) {
          const outcome = await post(sendRequest(100 + i, 1, PAYLOAD));
          if (outcome.kind === 'replied' && outcome.status === 503) refused++;
        }
      }),
    );
    clients.forEach((client) => client.close());
    expect(refused).to.be.above(500);
    const told = (): number =>
      broker.log.reduce((sum, line) => sum + (line.code === 503 ? Number(line.repeated ?? 1) : 0), 0);
    await until('all are counted', () => told() === refused);
    expect(broker.log.filter(({ code }) => code === 503).length, 'lines').to.be.below(100);
    expect(broker.output.length, 'bytes').to.be.below(60_000);
    expect(broker.lines('Redis is out of reach')[0]).to.include({ reason: 'unavailable', msgType: 'MSG_SEND_ACK' });
  });

  it('has the id that the client gave, and no secret, whatever goes wrong', async () => {
    await start({ AIZUMI_LOG_LEVEL: 'debug' }, ['--user', 'aizumi', 'on', `>${PASSWORD}`, '~*', '&*', '+@all']);
    await broker.stop();
    const encoded = encodeURIComponent(PASSWORD);
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: `redis://aizumi:${encoded}@127.0.0.1:${server.port}`,
      AIZUMI_LOG_LEVEL: 'debug',
    });
    await until('it serves', async () => (await fetch(`${broker.url}readyz`)).ok);
    const raw = new Redis(server.url);
    let failures = 0;
    const fails = async (request: unknown, status: number): Promise<void> => {
      const id = `attempt-${++failures}`;
      const headers = { authorization: `Bearer ${TOKEN}`, 'x-request-id': id };
      const reply = await broker.post(request, headers);
      expect(reply.status, reply.text).to.equal(status);
      const line = await until(`${id} is in the log`, () => broker.log.find(({ requestId }) => requestId === id));
      expect(line).to.include({ code: status });
    };
    try {
      await fails(`"${PAYLOAD}`, 400);
      await fails({ ...sendRequest(100, 1, PAYLOAD), colour: 'red' }, 400);
      await fails(recvRequest(100), 404);
      await broker.post(sendRequest(100, 1, PAYLOAD));
      await raw.set('aizumi:{101}:queue', 'not a stream');
      await fails(sendRequest(101, 1, PAYLOAD), 500);
      await raw.acl('SETUSER', 'aizumi', '-@write');
      await fails(sendRequest(100, 1, PAYLOAD), 503);
      await raw.acl('SETUSER', 'aizumi', '+@all', '-eval', '-evalsha');
      await fails({ ...sendRequest(100, 1, PAYLOAD), dedup: true }, 503);
      await raw.acl('SETUSER', 'aizumi', 'resetpass', '>another');
      await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await until('it is locked out', async () => (await broker.post(sendRequest(100, 1, PAYLOAD))).status === 503);
      await fails(sendRequest(100, 1, PAYLOAD), 503);
      await server.kill9();
      await fails(sendRequest(100, 1, PAYLOAD), 503);
    } finally {
      raw.disconnect();
    }
    expect(failures).to.equal(8);
    for (const secret of [PASSWORD, encoded, PAYLOAD, TOKEN]) expect(broker.output).not.to.include(secret);
  });

  for (const workers of ['1', '2'])
    it(`changes its level at SIGUSR2 and back, in ${workers} worker(s), also in one that comes later`, async () => {
      await start({ AIZUMI_WORKERS: workers });
      const pids = (): number[] => (workers === '1' ? [broker.pid] : broker.workerPids());
      /** The workers whose log has refusals from now on. */
      const tell = async (): Promise<Set<number>> => {
        const from = broker.log.length;
        // a connection may be with the worker that is killed
        const refused = (): Promise<unknown> => broker.post('no JSON', { connection: 'close' }).catch(() => undefined);
        for (let i = 0; i < 12; i++) await refused();
        return new Set(broker.log.slice(from).flatMap(({ msg, pid }) => (msg === 'request refused' ? [pid] : [])));
      };
      const allTell = async (): Promise<boolean> => {
        const telling = await tell();
        return pids().length === Number(workers) && pids().every((pid) => telling.has(pid));
      };
      expect([...(await tell())]).to.deep.equal([]);
      broker.signalGroup('SIGUSR2');
      await until('all tell more', allTell, 10_000);
      if (workers === '2') {
        process.kill(pids()[0]!, 'SIGKILL');
        await until('its successor does', allTell, 10_000);
      }
      broker.signal('SIGUSR2');
      await until('none does', async () => (await tell()).size === 0, 10_000);
      expect(broker.lines('the log level is now debug')).to.have.length(1);
      expect(broker.lines('the log level is now info')).to.have.length(1);
      expect(broker.exitCode).to.equal(undefined);
    });
});
