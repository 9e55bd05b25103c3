// One client whose key may send to every address uses no more of Redis than its share, and other clients are served.
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { freeRequest, heloRequest, recvRequest, sendRequest } from '../../harness/requests.js';

const BATCH = 1_000;
/** Enough for 20,000 queues, the default limit, but not for 24,000. */
const MEMORY = '104mb';

interface Answer {
  code: number;
  error?: { reason: string; message: string };
}

describe('http/shares', function () {
  this.timeout(120_000);
  let redis: TestServer;
  let keys: KeysFile;
  let broker: TestBroker;
  let flood: Record<string, string>;
  let victim: Record<string, string>;
  const open = async (env: Record<string, string> = {}): Promise<void> => {
    broker = await startBroker({ ...keys.env, AIZUMI_REDIS_URL: redis.url, ...env });
  };
  beforeEach(async () => {
    redis = await startRedisServer({ args: ['--maxmemory', MEMORY, '--appendonly', 'no'] });
    keys = keysFile();
    flood = bearer(keys.add({ send: [1] }, { name: 'flood' }));
    victim = bearer(keys.add({ send: [2], receive: [2] }, { name: 'victim' }));
  });
  afterEach(async () => {
    await broker.stop();
    await redis.stop();
    keys.delete();
  });

  async function victimIsServed(): Promise<void> {
    const cycle = [sendRequest(2, 7, 'mine', 2), recvRequest(2), freeRequest(2, 7)];
    for (const request of cycle) expect((await broker.post(request, victim)).json).to.include({ code: 200 });
  }
  const answersOf = ({ json }: Reply): Answer[] => json as unknown as Answer[];

  it('SENDs to very many addresses do not fill Redis, and are refused with the name of the limit', async () => {
    await open();
    const answers: Answer[] = [];
    for (let first = 1_000; first < 25_000; first += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, i) => sendRequest(first + i, 1));
      answers.push(...answersOf(await broker.post(batch, flood)));
    }
    await victimIsServed();
    const refused = answers.filter(({ code }) => code !== 200);
    expect(answers.length - refused.length).to.equal(20_000);
    for (const { code, error } of refused) {
      expect([code, error?.reason]).to.deep.equal([429, 'queue_full']);
      expect(error?.message).to.contain('AIZUMI_MAX_CLIENT_QUEUES');
    }
    expect(answersOf(await broker.post([sendRequest(1_000, 2)], flood))[0], 'a queue that is there').to.include({
      code: 200,
    });
  });

  it('large messages do not fill Redis, to one address or to many', async () => {
    await open({ AIZUMI_MAX_CLIENT_BYTES: '50000000', AIZUMI_MAX_QUEUE_BYTES: '20000000' });
    const payload = 'x'.repeat(1_000_000);
    const limits = new Set<string | undefined>();
    for (let n = 0; n < 200; n++) {
      // first to one address, until its queue is full, then to ten
      const { json } = await broker.post(sendRequest(n < 40 ? 100 : 100 + (n % 10), n, payload), flood);
      const { code, error } = json as unknown as Answer;
      if (code !== 200) limits.add(/AIZUMI_\w+/.exec(error?.message ?? '')?.[0]);
    }
    await victimIsServed();
    expect([...limits]).to.deep.equal(['AIZUMI_MAX_QUEUE_BYTES', 'AIZUMI_MAX_CLIENT_BYTES']);
    const raw = new Redis(redis.url);
    const used = Number(/used_memory:(\d+)/.exec(await raw.info('memory'))?.[1]);
    raw.disconnect();
    expect(used).to.be.within(40_000_000, 80_000_000);
  });

  it('a HELO over the client’s limit of queues is answered 429, with the name of its reply', async () => {
    const key = bearer(keys.add({ receive: ['*'] }, { name: 'maker' }));
    await open({ AIZUMI_MAX_CLIENT_QUEUES: '2' });
    const replies = [];
    for (const address of [1, 2, 3, 1]) replies.push(await broker.post(heloRequest(address), key));
    expect(replies.map(({ status }) => status)).to.deep.equal([200, 200, 429, 200]);
    expect(replies[2]?.headers.get('retry-after')).to.equal('1');
    expect(replies[2]?.text).to.equal(
      '{"code":429,"status":"Too Many Requests","msg_type":"MSG_HELO_ACK","error":{"reason":"queue_full","message":"you have made 2 queues, as many as a client may (AIZUMI_MAX_CLIENT_QUEUES): GBYE removes one that is empty","details":[]}}',
    );
  });
});
