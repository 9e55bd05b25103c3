// A body with several requests gets one body with the replies, each as if its request had been sent alone.
import { expect } from 'chai';
import fc from 'fast-check';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const SENT = '{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}';

interface Answer {
  code: number;
  msg_type?: string;
  id?: number;
  payload?: unknown;
  error?: { reason: string };
}

const answers = ({ text }: Reply): Answer[] => JSON.parse(text) as Answer[];
const codes = (reply: Reply): number[] => answers(reply).map(({ code }) => code);

describe('http/batch', () => {
  let broker: TestBroker;
  let address = 1000;
  before(async () => void (broker = await startBroker({ AIZUMI_MAX_BATCH: '150' })));
  after(() => broker.stop());
  beforeEach(() => {
    address++;
  });

  /** Ids of all waiting messages of the address, in the order of their delivery. */
  async function idsAt(of: number, from = broker): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      const { status, json } = await from.post(recvRequest(of));
      if (status === 404) return ids;
      ids.push(json.id as number);
    }
  }

  describe('a body that is an array', () => {
    it('is answered with an array of the replies, in the order of the requests', async () => {
      const reply = await broker.post([
        heloRequest(address),
        sendRequest(address, 1),
        sendRequest(address, 2, 'second'),
        recvRequest(address),
        freeRequest(address, 1),
      ]);
      expect(reply.status).to.equal(200);
      expect(reply.headers.get('content-type')).to.equal('application/json; charset=utf-8');
      expect(reply.text).to.equal(
        '[{"code":200,"status":"OK","msg_type":"MSG_HELO_ACK"},' +
          `${SENT},${SENT},` +
          `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":1,"daddr":${address},"id":1,"payload":"hello"},` +
          '{"code":200,"status":"OK","msg_type":"MSG_FREE_ACK"}]',
      );
    });

    it('may hold one request', async () => {
      const reply = await broker.post([sendRequest(address, 1)]);
      expect([reply.status, reply.text]).to.deep.equal([200, `[${SENT}]`]);
    });

    it('is answered 207 if a request failed, which does not affect the others', async () => {
      const reply = await broker.post([
        sendRequest(address, 1),
        { ...sendRequest(address, 2), saddr: 'x' },
        7,
        [sendRequest(address, 3)],
        { msg_type: 'MSG_HELLO_REQ' },
        { msg_type: 'MSG_PUSH_REQ' },
        freeRequest(address, 99),
        sendRequest(address, 4),
      ]);
      expect(reply.status).to.equal(207);
      expect(codes(reply)).to.deep.equal([200, 400, 400, 400, 400, 501, 404, 200]);
      expect(await idsAt(address)).to.deep.equal([1, 4]);
    });

    it('is answered in order if it is processed in several parts that all contain invalid requests', async () => {
      const requests = Array.from({ length: 150 }, (_, id) => (id % 60 === 50 ? 'none' : sendRequest(address, id)));
      const reply = await broker.post(requests);
      expect(codes(reply)).to.deep.equal(requests.map((request) => (request === 'none' ? 400 : 200)));
      expect(await idsAt(address))
        .to.have.length(148)
        .and.to.not.include.members([50, 110]);
    });

    it('contains for each request the reply that it would get alone', async () => {
      const requests = [
        { ...sendRequest(address, 2), saddr: 'x', surprise: 1 },
        'MSG_SEND_REQ',
        null,
        {},
        { msg_type: 2, saddr: address, daddr: 1 },
        freeRequest(address, 99),
        recvRequest(address),
        heloRequest(address),
        gbyeRequest(address),
        { msg_type: 8 },
      ];
      const alone: string[] = [];
      for (const request of requests) alone.push((await broker.post(JSON.stringify(request))).text);
      expect((await broker.post(requests)).text).to.equal(`[${alone.join(',')}]`);
    });

    it('keeps every payload byte for byte', async () => {
      const payloads = ['12345678901234567890', '{"a":1,"a":[2]}', '"],[{\\"payload\\":1}"', '[1.0 , -0]'];
      const sends = payloads.map(
        (payload, id) => `{"msg_type":1,"saddr":1,"daddr":${address},"id":${id},"payload": ${payload} }`,
      );
      expect((await broker.post(`\n[ ${sends.join(' ,\t')} ]\r\n`)).status).to.equal(200);
      const { text } = await broker.post(payloads.map(() => recvRequest(address)));
      for (const payload of payloads) expect(text).to.include(`"payload":${payload}}`);
    });
  });

  describe('the order of SENDs to one queue', () => {
    it('is kept', async () => {
      const ids = Array.from({ length: 150 }, (_, i) => i);
      expect((await broker.post(ids.map((id) => sendRequest(address, id)))).status).to.equal(200);
      expect(await idsAt(address)).to.deep.equal(ids);
    });

    it('is kept whatever their options, with and without an existing queue', async () => {
      const options = fc.constantFrom({}, { dedup: true }, { durability: 'primary' }, { durability: 'quorum' });
      await fc.assert(
        fc.asyncProperty(fc.array(options, { minLength: 2, maxLength: 12 }), fc.boolean(), async (wishes, isThere) => {
          address++;
          if (isThere) await broker.post([sendRequest(address, 0), recvRequest(address), freeRequest(address, 0)]);
          const requests = wishes.map((wish, id) => ({ ...sendRequest(address, id), ...wish }));
          expect((await broker.post(requests)).status).to.equal(200);
          expect(await idsAt(address)).to.deep.equal(wishes.map((_, id) => id));
        }),
        { numRuns: 60 },
      );
    });

    it('is kept where SENDs to several queues are mixed', async () => {
      const receivers = [address, ++address, ++address];
      const requests = Array.from({ length: 90 }, (_, id) => sendRequest(receivers[id % 3]!, id));
      expect((await broker.post(requests)).status).to.equal(200);
      for (const [i, receiver] of receivers.entries())
        expect(await idsAt(receiver)).to.deep.equal(Array.from({ length: 30 }, (_, n) => 3 * n + i));
    });
  });

  describe('a batch that is refused as a whole', () => {
    const refusals: [what: string, body: string, status: number, reason: string][] = [
      ['is empty', '[]', 400, 'invalid_request'],
      ['is not JSON to its end', '[{"msg_type":9,"saddr":1,"daddr":1},]', 400, 'invalid_json'],
      ['holds more than AIZUMI_MAX_BATCH requests', `[${'0,'.repeat(150)}0]`, 413, 'too_large'],
    ];
    for (const [what, body, status, reason] of refusals)
      it(what, async () => {
        const reply = await broker.post(body);
        expect([reply.status, reply.json.code]).to.deep.equal([status, status]);
        expect(reply.json.error).to.include({ reason });
        expect(reply.json).not.to.have.property('msg_type');
      });

    it('stores nothing', async () => {
      const sends = Array.from({ length: 150 }, (_, id) => JSON.stringify(sendRequest(address, id)));
      await broker.post(`[${sends.join(',')},0]`);
      await broker.post(`[${sends.join(',')}`);
      expect(await idsAt(address)).to.deep.equal([]);
    });
  });

  describe('the headers of the reply', () => {
    it('have Retry-After if one of the replies alone would have it', async () => {
      const full = await startBroker({ AIZUMI_MAX_QUEUE_LENGTH: '1' });
      try {
        await full.post(sendRequest(address, 1));
        const reply = await full.post([heloRequest(address), sendRequest(address, 2)]);
        expect(codes(reply)).to.deep.equal([200, 429]);
        expect(reply.headers.get('retry-after')).to.equal('1');
        expect((await full.post([heloRequest(address)])).headers.has('retry-after')).to.equal(false);
      } finally {
        await full.stop();
      }
    });

    it('have the request id of the logged failure while Redis is unreachable, and each reply is a 503', async () => {
      const redis = await startRedisServer();
      const alone = await startBroker({ AIZUMI_REDIS_URL: redis.url });
      try {
        await redis.kill9();
        await until('Redis is reported as unreachable', async () => !(await fetch(`${alone.url}readyz`)).ok);
        const reply = await alone.post([sendRequest(1, 1), recvRequest(1), { msg_type: 7 }]);
        expect(reply.status).to.equal(207);
        expect(codes(reply)).to.deep.equal([503, 503, 501]);
        expect(reply.headers.get('retry-after')).to.equal('1');
        expect(reply.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
      } finally {
        await Promise.all([alone.stop(), redis.stop()]);
      }
    });
  });

  it('other requests do not wait until all earlier batches are done', async () => {
    const batch = JSON.stringify(Array.from({ length: 150 }, (_, id) => sendRequest(address, id)));
    let done = 0;
    const batches = Array.from({ length: 40 }, () => broker.post(batch).then(() => done++));
    await until('the first batch is answered', () => done > 0);
    await broker.post(heloRequest(address));
    expect(done).to.be.below(40);
    await Promise.all(batches);
    const { json } = await broker.post(statRequest(address));
    expect((json.payload as { queue: { waiting: number } }).queue.waiting).to.equal(40 * 150);
  });
});
