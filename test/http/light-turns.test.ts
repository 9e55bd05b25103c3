// One client sends very many light requests: only a limited number of its commands is in flight to Redis at a time, so that the
// next command of another client waits behind no more than these.
import { expect } from 'chai';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import type { Reply } from '../../harness/broker.js';
import { startHeldRedis } from '../support/held-redis.js';
import type { HeldRedis } from '../support/held-redis.js';
import { startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

/** In-flight commands of one client at a time, stated independently of src: small XADDs, scripts, and STATs. */
const MOST = 1_024;
const MOST_SCRIPTS = 128;
const MOST_STATS = 16;
const BODIES = 4;
const SIZE = 1_000;

type Made = (i: number) => object;
const REQUESTS: Record<string, { make: Made; most: number }> = {
  SEND: { make: (i) => sendRequest(1_000 + (i % 10), i), most: MOST },
  'SEND with dedup': { make: (i) => ({ ...sendRequest(1_000 + (i % 10), i), dedup: true }), most: MOST_SCRIPTS },
  RECV: { make: (i) => recvRequest(1_000 + (i % 10)), most: MOST_SCRIPTS },
  'RECV with attempt_id': { make: () => ({ ...recvRequest(1_010), attempt_id: 'A' }), most: MOST_SCRIPTS },
  FREE: { make: (i) => ({ msg_type: 'MSG_FREE_REQ', saddr: 1_000, daddr: 5_000, id: i }), most: MOST_SCRIPTS },
  KEEP: {
    make: (i) => ({ msg_type: 'MSG_KEEP_REQ', saddr: 1_000, daddr: 5_000, id: i, visibility_timeout_ms: 1 }),
    most: MOST_SCRIPTS,
  },
  BACK: { make: (i) => ({ msg_type: 'MSG_BACK_REQ', saddr: 1_000, daddr: 5_000, id: i }), most: MOST_SCRIPTS },
  HELO: { make: (i) => heloRequest(1_000 + (i % 10)), most: MOST_SCRIPTS },
  STAT: { make: () => statRequest(1_000), most: 2 * MOST_STATS },
};

describe('http: light requests of one client', function () {
  this.timeout(120_000);
  let server: TestServer;
  let redis: HeldRedis;
  let broker: BrokerProcess;
  let keys: KeysFile;
  let attacker: Record<string, string>;
  let victim: Record<string, string>;
  before(async () => {
    keys = keysFile();
    attacker = bearer(keys.add(ALL, { name: 'attacker' }));
    victim = bearer(keys.add(ALL, { name: 'victim' }));
    server = await startRedisServer({ args: ['--appendonly', 'no'] });
    redis = await startHeldRedis(server.port);
    broker = await startBrokerProcess({ ...keys.env, AIZUMI_REDIS_URL: redis.url });
    // so that the worker already knows what it caches about these queues
    for (let address = 1_000; address <= 1_010; address++)
      for (let id = 0; id < 4; id++) await broker.post(sendRequest(address, id), attacker);
    await broker.post({ ...recvRequest(1_010), max: 4, attempt_id: 'A' }, attacker);
    for (let id = 0; id < 4; id++) await broker.post(sendRequest(2_000, id), victim);
  });
  after(async () => {
    await broker.kill9();
    redis.stop();
    keys.delete();
    await server.stop();
  });

  /** Waits until the broker sends no more commands, since none is answered. */
  async function settled(): Promise<void> {
    let last = -1;
    let sinceMs = performance.now();
    await until('no more commands are sent', () => {
      if (redis.count() !== last) {
        last = redis.count();
        sinceMs = performance.now();
      }
      return last > 0 && performance.now() - sinceMs > 300;
    });
  }

  for (const [what, { make, most }] of Object.entries(REQUESTS))
    it(`${what}: of ${BODIES} bodies of ${SIZE}, at most ${most} commands are in flight ahead of another client's`, async () => {
      await broker.post([make(0), make(1)], attacker);
      await broker.post(sendRequest(2_000, 7), victim);
      redis.hold();
      let replies: Reply[];
      try {
        const body = Array.from({ length: SIZE }, (_, i) => make(i));
        const asked = Promise.all(Array.from({ length: BODIES }, () => broker.post(body, attacker)));
        await settled();
        const underWay = redis.count();
        const answered = broker.post(sendRequest(2_000, 8), victim);
        await until('the command of the other client is sent', () => redis.held().includes('{2000}'));
        // a STAT is two commands
        expect(underWay).to.be.within(1, most);
        expect(redis.count()).to.be.at.most(underWay + 2);
        redis.release();
        expect((await answered).status).to.equal(200);
        replies = await asked;
      } finally {
        redis.release();
      }
      for (const { status, json } of replies) {
        expect(status).to.be.oneOf([200, 207]);
        for (const { code } of json as unknown as { code: number }[]) expect(code).to.be.oneOf([200, 404]);
      }
    });

  it('keep the order of SENDs to a queue, throughout a body and beside other bodies', async () => {
    const body = Array.from({ length: SIZE }, (_, i) => sendRequest(3_000 + (i % 2), i));
    const dedup = Array.from({ length: SIZE }, (_, i) => ({ ...sendRequest(3_002, i), dedup: i % 100 < 50 }));
    const replies = await Promise.all([body, dedup].map((each) => broker.post(each, attacker)));
    for (const { status } of replies) expect(status).to.equal(200);
    for (const [address, first, step] of [
      [3_000, 0, 2],
      [3_001, 1, 2],
      [3_002, 0, 1],
    ] as const) {
      const { json } = await broker.post({ ...recvRequest(address), max: 1_000 }, attacker);
      const ids = (json.messages as { id: number }[]).map(({ id }) => id);
      expect(ids).to.deep.equal(Array.from({ length: SIZE / step }, (_, i) => first + step * i));
    }
  });
});
