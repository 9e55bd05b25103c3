import { expect } from 'chai';
import { VERSION } from '../../src/worker.js';
import { post, startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import type { Store } from '../support/store.js';
import { until } from '../../harness/until.js';

const ack = (reply: string): string => `{"code":200,"status":"OK","msg_type":"${reply}"}`;
const SENT = ack('MSG_SEND_ACK');
const FREED = ack('MSG_FREE_ACK');
const EMPTY =
  '{"code":404,"status":"Not Found","msg_type":"MSG_RECV_ACK","error":{"reason":"queue_empty","message":"no message waits for you: ask again later","details":[]}}';

const received = (daddr: number, id: number, payload = '"hello"', saddr = 1): string =>
  `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":${saddr},"daddr":${daddr},"id":${id},"payload":${payload}}`;

/** The text of a SEND with exactly this payload text, which JSON.stringify would change. */
const sendText = (daddr: number, payload: string, id = 1): string =>
  `{"msg_type":"MSG_SEND_REQ","saddr":1,"daddr":${daddr},"id":${id},"payload":${payload}}`;

function expectReply({ status, text, headers }: Reply, code: number, body: string): void {
  expect(text).to.equal(body);
  expect(status).to.equal(code);
  expect(headers.get('content-type')).to.equal('application/json; charset=utf-8');
}

describe('http/protocol', () => {
  let broker: TestBroker;
  let store: Store;
  let address = 100;
  before(async () => {
    broker = await startBroker();
    store = openStore(broker.config);
  });
  after(async () => {
    store.close();
    await broker.stop();
  });
  beforeEach(() => {
    address++;
  });

  describe('the examples of the specification', () => {
    let seeded: TestBroker;
    before(async () => void (seeded = await startBroker()));
    after(() => seeded.stop());

    const examples: [request: string, reply: string][] = [
      ['{"msg_type":"MSG_HELO_REQ","saddr":1,"daddr":5000}', ack('MSG_HELO_ACK')],
      ['{"msg_type":"MSG_SEND_REQ","saddr":1,"daddr":100,"id":12000,"payload":"hello"}', SENT],
      ['{"msg_type":"MSG_RECV_REQ","saddr":100,"daddr":5000}', received(100, 12000)],
      ['{"msg_type":"MSG_FREE_REQ","saddr":100,"daddr":5000,"id":12000}', FREED],
      ['{"msg_type":"MSG_GBYE_REQ","saddr":1,"daddr":5000}', ack('MSG_GBYE_ACK')],
    ];
    for (const [request, reply] of examples)
      it(`${request} is answered as specified`, async () => expectReply(await seeded.post(request), 200, reply));

    it('MSG_STAT_REQ is answered with MSG_STAT_ACK and an object', async () => {
      const { text, status } = await seeded.post('{"msg_type":"MSG_STAT_REQ","saddr":1,"daddr":5000}');
      expect(status).to.equal(200);
      expect(text).to.match(/^\{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK","payload":\{.*\}\}$/);
    });

    it('a request with line breaks and indentation, as in the specification, is answered', async () => {
      const request = JSON.stringify(sendRequest(address, 12000), null, 4);
      expectReply(await seeded.post(`${request}\r\n`), 200, SENT);
      expectReply(await seeded.post(recvRequest(address)), 200, received(address, 12000));
    });
  });

  describe('msg_type as a number', () => {
    it('is answered like the name, with the name', async () => {
      const fields = { saddr: address, daddr: address, id: 7, payload: 'hello' };
      expectReply(await broker.post({ msg_type: 9, ...fields }), 200, ack('MSG_HELO_ACK'));
      expectReply(await broker.post({ msg_type: 1, ...fields }), 200, SENT);
      expectReply(await broker.post({ msg_type: 3, ...fields }), 200, received(address, 7, '"hello"', address));
      expectReply(await broker.post({ msg_type: 5, ...fields }), 200, FREED);
      expect((await broker.post({ msg_type: 11, ...fields })).text).to.match(
        /^\{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK","payload":\{"broker":\{/,
      );
      expectReply(await broker.post({ msg_type: 13, ...fields }), 200, ack('MSG_GBYE_ACK'));
    });

    for (const type of [7, 8, 'MSG_PUSH_REQ', 'MSG_PUSH_ACK'])
      it(`${type} is not supported, whatever other fields are sent`, async () => {
        const refusal =
          '{"code":501,"status":"Not Implemented","msg_type":"MSG_PUSH_ACK","error":{"reason":"not_supported","message":"the broker does not push: ask for messages with MSG_RECV_REQ","details":[]}}';
        expectReply(await broker.post({ msg_type: type }), 501, refusal);
        expectReply(await broker.post({ msg_type: type, saddr: 'x', surprise: 1 }), 501, refusal);
      });
  });

  describe('clients built on a fixed struct', () => {
    it('may send all five fields with every request', async () => {
      const all = (msg_type: string, saddr: number, daddr: number, id = 0, payload: unknown = ''): object => ({
        msg_type,
        saddr,
        daddr,
        id,
        payload,
      });
      expectReply(await broker.post(all('MSG_HELO_REQ', address, 5000)), 200, ack('MSG_HELO_ACK'));
      expectReply(await broker.post(all('MSG_SEND_REQ', 1, address, 1, 'hello')), 200, SENT);
      expect((await broker.post(all('MSG_STAT_REQ', address, 5000))).status).to.equal(200);
      expectReply(await broker.post(all('MSG_RECV_REQ', address, 5000)), 200, received(address, 1));
      expectReply(await broker.post(all('MSG_FREE_REQ', address, 5000, 1)), 200, FREED);
      expectReply(await broker.post(all('MSG_GBYE_REQ', address, 5000)), 200, ack('MSG_GBYE_ACK'));
    });

    it('may put anything into id and payload where they are ignored', async () => {
      for (const type of ['MSG_HELO_REQ', 'MSG_RECV_REQ', 'MSG_STAT_REQ', 'MSG_GBYE_REQ'])
        for (const id of [null, 'x', -1, 0.5, {}]) {
          const { status } = await broker.post({ msg_type: type, saddr: address, daddr: 0, id, payload: [id] });
          expect(status, `${type} with id ${JSON.stringify(id)}`).to.be.oneOf([200, 404]);
        }
    });

    it('may restart their ids at 1: equal ids are still different messages', async () => {
      for (const run of ['first', 'second'])
        for (const id of [1, 2, 3]) expectReply(await broker.post(sendRequest(address, id, run)), 200, SENT);
      for (const run of ['first', 'second'])
        for (const id of [1, 2, 3]) {
          expectReply(await broker.post(recvRequest(address)), 200, received(address, id, `"${run}"`));
          expectReply(await broker.post(freeRequest(address, id)), 200, FREED);
        }
      expectReply(await broker.post(recvRequest(address)), 404, EMPTY);
    });

    it('may use one id for all messages, and free each message that they hold', async () => {
      for (const n of [1, 2, 3]) await broker.post(sendRequest(address, 0, n));
      for (const n of [1, 2, 3])
        expectReply(await broker.post(recvRequest(address)), 200, received(address, 0, String(n)));
      for (let n = 0; n < 3; n++) expectReply(await broker.post(freeRequest(address, 0)), 200, FREED);
      expect((await broker.post(freeRequest(address, 0))).json).to.nested.include({
        code: 404,
        'error.reason': 'not_delivered',
      });
    });

    it('may use any address for the broker', async () => {
      for (const daddr of [0, 1, 5000, 4294967295])
        expectReply(await broker.post({ msg_type: 'MSG_RECV_REQ', saddr: address, daddr }), 404, EMPTY);
    });
  });

  describe('a payload', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
    const payloads: Record<string, string> = {
      'a string': '"hello"',
      'an empty string': '""',
      null: 'null',
      false: 'false',
      true: 'true',
      zero: '0',
      'minus zero': '-0',
      'a number with a fraction of zero': '1.0',
      'a number with an exponent': '1E+2',
      'an integer that no double holds': '12345678901234567890',
      'a number that no double holds': '1e400',
      'a fraction that no double holds': '0.1000000000000000055511151231257827021181583404541015625',
      'an empty object': '{}',
      'an empty array': '[]',
      'an object with the same key twice': '{"a":1,"a":2}',
      'an object with the key __proto__': '{"__proto__":{"polluted":true},"constructor":null}',
      'an object with the fields of a request': '{"msg_type":"MSG_FREE_REQ","saddr":9,"payload":{"payload":1}}',
      'keys that look like numbers, unsorted': '{"2":1,"1":2,"b":3,"a":4}',
      'an escaped NUL': '"\\u0000"',
      'a lone high surrogate, escaped': '"\\ud800"',
      'a lone low surrogate, escaped': '"x\\uDFFFy"',
      'an emoji': '"😀"',
      'an emoji, escaped': '"\\ud83d\\uDE00"',
      'text of many scripts': '"こんにちは，مرحبا, Ωß"',
      'line separators and a BOM': '"\u2028\u2029\ufeff"',
      'every short escape': '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
      'quotes, brackets and commas in strings': '["\\"}],{[", ":,\\\\"]',
      'whitespace inside': '{ "a" :\t[ 1 ,\r\n2 ] }',
      'deep nesting, to the limit of 64 with the request itself': nested(63),
      'an object nested to the limit': '{"a":'.repeat(62) + nested(1) + '}'.repeat(62),
    };
    for (const [what, payload] of Object.entries(payloads))
      it(`is received exactly as it was sent: ${what}`, async () => {
        expectReply(await broker.post(sendText(address, payload)), 200, SENT);
        expectReply(await broker.post(recvRequest(address)), 200, received(address, 1, payload));
      });

    it('is stored in Redis as it was sent', async () => {
      await broker.post(sendText(address, '{ "a" : 1.0 }', 12));
      const [entry] = await store.raw.xrange(store.key(`{${address}}:queue`), '-', '+');
      expect(entry?.[1]).to.deep.equal(['saddr', '1', 'id', '12', 'payload', '{ "a" : 1.0 }']);
    });

    it('is stored without the whitespace around it', async () => {
      await broker.post(`{"msg_type":1,"saddr":1,"daddr":${address},"id":1,"payload" \n:\t [1]\r\n }`);
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 1, '[1]'));
    });

    const others = (): string => `"msg_type":"MSG_SEND_REQ","saddr":1,"daddr":${address},"id":1`;
    const spellings: Record<string, () => string> = {
      'first in the object': () => `{"payload":[1,{"b":2}],${others()}}`,
      'last in the object': () => `{${others()},"payload":[1,{"b":2}]}`,
      'in the middle of the object': () => `{"msg_type":1,"payload":[1,{"b":2}],"saddr":1,"daddr":${address},"id":1}`,
      'with escapes in its key': () => `{${others()},"pay\\u006coad":[1,{"b":2}]}`,
      'with nothing but escapes in its key': () =>
        `{${others()},"\\u0070\\u0061\\u0079\\u006c\\u006f\\u0061\\u0064":[1,{"b":2}]}`,
      'twice: the last one wins': () => `{"payload":"first",${others()},"payload":[1,{"b":2}]}`,
      'twice, once in escapes: the last one wins': () => `{"pay\\u006coad":"first","payload":[1,{"b":2}],${others()}}`,
      'beside a value that spells its name': () => `{${others()},"payload":"payload","payload":[1,{"b":2}]}`,
    };
    for (const [where, text] of Object.entries(spellings))
      it(`may stand ${where}`, async () => {
        expectReply(await broker.post(text()), 200, SENT);
        expectReply(await broker.post(recvRequest(address)), 200, received(address, 1, '[1,{"b":2}]'));
      });
  });

  describe('other fields', () => {
    it('may be repeated: the last one wins', async () => {
      await broker.post(
        `{"msg_type":3,"msg_type":1,"saddr":"x","saddr":2,"daddr":${address},"id":1,"id":8,"payload":0}`,
      );
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 8, '0', 2));
    });

    it('may be written as any JSON number of the same value', async () => {
      await broker.post(`{"msg_type":1.0,"saddr":1e0,"daddr":${address}.0,"id":12E3,"payload":0}`);
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 12000, '0'));
      expectReply(await broker.post(`{"msg_type":5,"saddr":${address},"daddr":-0,"id":1.2e4}`), 200, FREED);
    });

    it('may be the highest and the lowest allowed values', async () => {
      for (const edge of [0, 4294967295])
        for (const id of [0, Number.MAX_SAFE_INTEGER]) {
          expectReply(await broker.post(sendRequest(edge, id, 'hello', edge)), 200, SENT);
          expectReply(await broker.post(recvRequest(edge)), 200, received(edge, id, '"hello"', edge));
          expectReply(await broker.post(freeRequest(edge, id)), 200, FREED);
        }
    });

    it('are distinguished to the last digit', async () => {
      const [odd, even] = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1];
      await broker.post(sendRequest(address, odd));
      await broker.post(recvRequest(address));
      expect((await broker.post(freeRequest(address, even))).status).to.equal(404);
      expectReply(await broker.post(freeRequest(address, odd)), 200, FREED);
    });

    it('may be sent to a URL with or without a query', async () => {
      const { text } = await post(`${broker.url}?from=a-load-balancer`, recvRequest(address));
      expect(text).to.equal(EMPTY);
    });
  });

  describe('SEND and RECV', () => {
    it('deliver messages in the order of sending, each to its receiver', async () => {
      const ids = Array.from({ length: 20 }, (_, i) => i);
      for (const id of ids) {
        await broker.post(sendRequest(address, id, { n: id }));
        await broker.post(sendRequest(address + 1000, id, 'somebody else'));
      }
      for (const id of ids)
        expectReply(await broker.post(recvRequest(address)), 200, received(address, id, `{"n":${id}}`));
      expectReply(await broker.post(recvRequest(address)), 404, EMPTY);
    });

    it('leave no key in Redis if nothing was sent', async () => {
      const before = await store.keys();
      expectReply(await broker.post(recvRequest(address)), 404, EMPTY);
      expect(await store.keys()).to.deep.equal(before);
    });

    it('let a sender be its own receiver', async () => {
      await broker.post(sendRequest(address, 1, 'hello', address));
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 1, '"hello"', address));
    });
  });

  describe('FREE', () => {
    it('refuses a message that was never received, and leaves no key in Redis', async () => {
      const before = await store.keys();
      expectReply(
        await broker.post(freeRequest(address, 1)),
        404,
        '{"code":404,"status":"Not Found","msg_type":"MSG_FREE_ACK","error":{"reason":"not_delivered","message":"you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended","details":[]}}',
      );
      expect(await store.keys()).to.deep.equal(before);
    });

    it('refuses a message that is waiting, and one that another receiver holds', async () => {
      await broker.post(sendRequest(address, 1));
      expect((await broker.post(freeRequest(address, 1))).status).to.equal(404);
      await broker.post(recvRequest(address));
      expect((await broker.post(freeRequest(address + 1000, 1))).status).to.equal(404);
      expectReply(await broker.post(freeRequest(address, 1)), 200, FREED);
    });
  });

  describe('HELO', () => {
    it('creates a queue, and does nothing the second time', async () => {
      expectReply(await broker.post(heloRequest(address)), 200, ack('MSG_HELO_ACK'));
      const made = await store.contents();
      expect(made).to.include.keys(`{${address}}:queue`);
      expectReply(await broker.post(heloRequest(address)), 200, ack('MSG_HELO_ACK'));
      expect(await store.contents()).to.deep.equal(made);
    });

    it('does not affect waiting messages', async () => {
      await broker.post(sendRequest(address, 1));
      await broker.post(heloRequest(address));
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 1));
    });
  });

  describe('GBYE', () => {
    it('returns at once all messages that the receiver holds, in order and ahead of newer ones', async () => {
      for (const id of [1, 2, 3, 4]) await broker.post(sendRequest(address, id));
      for (let n = 0; n < 3; n++) await broker.post(recvRequest(address));
      await broker.post(freeRequest(address, 2));
      expectReply(await broker.post(gbyeRequest(address)), 200, ack('MSG_GBYE_ACK'));
      for (const id of [1, 3, 4]) expectReply(await broker.post(recvRequest(address)), 200, received(address, id));
      expectReply(await broker.post(recvRequest(address)), 404, EMPTY);
    });

    it('ends the leases: the messages can no longer be freed', async () => {
      await broker.post(sendRequest(address, 1));
      await broker.post(recvRequest(address));
      await broker.post(gbyeRequest(address));
      expect((await broker.post(freeRequest(address, 1))).status).to.equal(404);
    });

    it('for an empty queue leaves no key behind', async () => {
      const before = await store.keys();
      await broker.post(heloRequest(address));
      await broker.post(sendRequest(address, 1));
      await broker.post(recvRequest(address));
      await broker.post(freeRequest(address, 1));
      await broker.post(gbyeRequest(address));
      expect(await store.keys()).to.deep.equal(before);
      expect(await store.raw.zscore(store.key('queues'), address)).to.equal(null);
    });

    it('does nothing the second time, or for an address without a queue', async () => {
      const before = await store.contents();
      for (let n = 0; n < 2; n++) expectReply(await broker.post(gbyeRequest(address)), 200, ack('MSG_GBYE_ACK'));
      expect(await store.contents()).to.deep.equal(before);
    });

    it('is not final: the next SEND creates the queue again', async () => {
      await broker.post(sendRequest(address, 1));
      await broker.post(recvRequest(address));
      await broker.post(freeRequest(address, 1));
      await broker.post(gbyeRequest(address));
      expectReply(await broker.post(sendRequest(address, 2)), 200, SENT);
      expectReply(await broker.post(recvRequest(address)), 200, received(address, 2));
    });
  });

  describe('STAT', () => {
    let own: TestBroker;
    /** A worker over the same queues, with short leases and few deliveries. */
    let hasty: TestBroker;
    before(async () => {
      own = await startBroker({ AIZUMI_BROKER_ID: '5001' });
      hasty = await startBroker({
        AIZUMI_KEY_PREFIX: own.config.keyPrefix,
        AIZUMI_MAX_DELIVERIES: '2',
        AIZUMI_VISIBILITY_TIMEOUT_MS: '30',
      });
    });
    after(async () => {
      await own.stop();
      await hasty.stop();
    });

    interface Stat {
      broker: { id: number; version: string; uptime_ms: number; queues: number };
      queue: Record<'address' | 'waiting' | 'leased' | 'delayed' | 'dead' | 'oldest_ms', number> | null;
    }
    const stat = async (saddr: number): Promise<Stat> => (await own.post(statRequest(saddr))).json.payload as Stat;
    const counts = (waiting: number, leased: number, dead: number): object => ({ waiting, leased, delayed: 0, dead });

    it('reports only the broker if the address has no queue, and creates none', async () => {
      const { text, status } = await own.post(statRequest(address));
      expect(status).to.equal(200);
      expect(text.replace(/"uptime_ms":\d+/, '"uptime_ms":…')).to.equal(
        `{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK","payload":{"broker":{"id":5001,"version":"${VERSION}","uptime_ms":…,"queues":0},"queue":null}}`,
      );
      expect((await stat(address)).queue).to.equal(null);
    });

    it('reports an empty queue that HELO created', async () => {
      await own.post(heloRequest(address));
      const { text } = await own.post(statRequest(address));
      expect(text.replace(/"(uptime_ms|bytes)":\d+/g, '"$1":…')).to.equal(
        `{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK","payload":{"broker":{"id":5001,"version":"${VERSION}","uptime_ms":…,"queues":1},"queue":{"address":${address},"waiting":0,"leased":0,"delayed":0,"dead":0,"expired":0,"oldest_ms":0,"bytes":…,"settings":{}}}}`,
      );
      await own.post(gbyeRequest(address));
    });

    it('counts the queues of all addresses', async () => {
      const { queues } = (await stat(address)).broker;
      for (const n of [0, 1, 2]) await own.post(heloRequest(address + n * 1000));
      expect((await stat(address)).broker.queues).to.equal(queues + 3);
      for (const n of [0, 1]) await own.post(gbyeRequest(address + n * 1000));
      expect((await stat(address)).broker.queues).to.equal(queues + 1);
    });

    it('follows a message from its SEND to its FREE', async () => {
      await own.post(sendRequest(address, 1));
      await own.post(sendRequest(address, 2));
      expect((await stat(address)).queue).to.include(counts(2, 0, 0));
      await own.post(recvRequest(address));
      expect((await stat(address)).queue).to.include(counts(1, 1, 0));
      await own.post(freeRequest(address, 1));
      expect((await stat(address)).queue).to.include(counts(1, 0, 0));
      await own.post(recvRequest(address));
      await own.post(gbyeRequest(address));
      expect((await stat(address)).queue).to.include(counts(1, 0, 0));
      await own.post(recvRequest(address));
      await own.post(freeRequest(address, 2));
      expect((await stat(address)).queue).to.include(counts(0, 0, 0));
      await own.post(gbyeRequest(address));
      expect((await stat(address)).queue).to.equal(null);
    });

    it('counts a message whose lease has ended as waiting', async () => {
      await own.post(sendRequest(address, 1));
      await hasty.post(recvRequest(address));
      await until('the lease ended', async () => (await stat(address)).queue?.waiting === 1);
      expect((await stat(address)).queue).to.include(counts(1, 0, 0));
    });

    it('reports the age of the oldest message and the uptime of the broker', async () => {
      const startedMs = Date.now();
      await own.post(sendRequest(address, 1));
      const first = await until('the message has an age', async () => {
        const now = await stat(address);
        return now.queue!.oldest_ms > 20 && now;
      });
      expect(first.queue!.oldest_ms).to.be.at.most(Date.now() - startedMs + 1);
      await own.post(sendRequest(address, 2));
      const second = await stat(address);
      expect(second.queue!.oldest_ms).to.be.at.least(first.queue!.oldest_ms);
      expect(second.broker.uptime_ms).to.be.at.least(first.broker.uptime_ms);
    });

    it('counts messages that were delivered too often and never freed as dead', async () => {
      await own.post(sendRequest(address, 9, { poison: 1.0 }));
      const take = async (): Promise<boolean> => (await hasty.post(recvRequest(address))).status === 200;
      await until('the message is delivered', take);
      await until('the message is redelivered when its lease ends', take);
      await until('the message is dead', async () => {
        expect(await take(), 'a third delivery').to.equal(false);
        return (await stat(address)).queue?.dead === 1;
      });
      expect((await stat(address)).queue).to.include(counts(0, 0, 1));
      expectReply(await own.post(recvRequest(address)), 404, EMPTY);
      expect((await own.post(freeRequest(address, 9))).status).to.equal(404);

      const ownStore = openStore(own.config);
      const [entry] = await ownStore.raw.xrange(ownStore.key(`{${address}}:dead`), '-', '+');
      ownStore.close();
      const fields = entry![1];
      const dead = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]]] : [])));
      expect(dead).to.include({
        saddr: '1',
        id: '9',
        payload: '{"poison":1}',
        cause: 'max_deliveries',
        deliveries: '2',
      });
      expect(Number(dead.died_at_ms)).to.be.closeTo(Date.now(), 60_000);
    });

    it('still reports dead messages after GBYE', async () => {
      await own.post(sendRequest(address, 9));
      await until('the message is dead', async () => {
        await hasty.post(recvRequest(address));
        return (await stat(address)).queue?.dead === 1;
      });
      const { queues } = (await stat(address)).broker;
      await own.post(gbyeRequest(address));
      const after = await stat(address);
      expect(after.queue).to.include(counts(0, 0, 1));
      expect(after.broker.queues).to.equal(queues);
    });
  });
});
