// A Redis as managed services provide it: administrative commands are blocked, nothing is on disk (docs/external-redis.md).
import { expect } from 'chai';
import { ask } from '../../harness/ask.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';

/** The commands that Amazon ElastiCache and MemoryDB block. */
const BLOCKED = ['acl', 'bgrewriteaof', 'bgsave', 'config', 'debug', 'migrate', 'module', 'psync', 'replicaof', 'save'];
const ALSO_BLOCKED = ['shutdown', 'slaveof', 'sync'];

describe('a broker on a managed Redis', () => {
  let server: TestServer;
  let broker: TestBroker;
  before(async () => {
    server = await startRedisServer({ args: ['--appendonly', 'no'] });
    const rights = [...BLOCKED, ...ALSO_BLOCKED].map((command) => `-${command}`);
    await ask(server.port, 'ACL', 'SETUSER', 'aizumi', 'on', '>a-secret', '~*', '&*', '+@all', ...rights);
    broker = await startBroker({ AIZUMI_REDIS_URL: `redis://aizumi:a-secret@127.0.0.1:${server.port}` });
  });
  after(async () => {
    await broker.stop();
    await server.stop();
  });

  it('works without CONFIG: SEND at primary, RECV with wait_ms, FREE, STAT', async () => {
    const waits = broker.post({ ...recvRequest(100), wait_ms: 10_000 });
    expect((await broker.post({ ...sendRequest(100, 1), durability: 'primary' })).status).to.equal(200);
    expect((await waits).json).to.include({ code: 200, id: 1 });
    for (const request of [freeRequest(100, 1), statRequest(100)])
      expect((await broker.post(request)).status).to.equal(200);
  });

  for (const durability of ['quorum', 'all'])
    it(`refuses SENDs at ${durability}, which could not be guaranteed: nothing is done`, async () => {
      const { status, json } = await broker.post({ ...sendRequest(200, 1), durability });
      expect(status).to.equal(503);
      expect(json.error).to.include({ reason: 'durability_unavailable', outcome: 'not_done' });
      expect((await broker.post(recvRequest(200))).status).to.equal(404);
    });
});
