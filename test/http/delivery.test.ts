import { expect } from 'chai';
import { startBeside, startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { freeRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const ack = (reply: string): string => `{"code":200,"status":"OK","msg_type":"${reply}"}`;
const keepRequest = (saddr: number, id: number, timeoutMs: number): object => ({
  ...freeRequest(saddr, id),
  msg_type: 'MSG_KEEP_REQ',
  visibility_timeout_ms: timeoutMs,
});
const backRequest = (saddr: number, id: number): object => ({ ...freeRequest(saddr, id), msg_type: 'MSG_BACK_REQ' });

/** The delivery details, as they stand in the text of the reply. */
const DELIVERY = /"delivery":\{"receipt":"[\d:-]+","attempt":(\d+),"sent_at_ms":1\d{12},"lease_until_ms":1\d{12}\}/g;
interface Delivery {
  receipt: string;
  attempt: number;
  sent_at_ms: number;
  lease_until_ms: number;
}

const reasonOf = ({ json }: Reply): string => (json.error as { reason: string }).reason;

describe('http/delivery', () => {
  let broker: TestBroker;
  let other: TestBroker;
  let address = 100;
  before(async () => {
    broker = await startBroker();
    other = await startBeside(broker);
  });
  after(() => Promise.all([broker.stop(), other.stop()]));
  beforeEach(() => address++);

  const deliveryOf = async (request: object): Promise<Delivery> =>
    (await broker.post({ ...request, details: true })).json.delivery as Delivery;

  describe('RECV', () => {
    it('with max is answered with a list, each message with the fields of a plain RECV', async () => {
      await broker.post(sendRequest(address, 1, 'a'));
      await broker.post(sendRequest(address, 2, { b: [1.5] }, 9));
      const { status, text } = await other.post({ ...recvRequest(address), max: 10 });
      expect(text).to.equal(
        `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","messages":[` +
          `{"saddr":1,"daddr":${address},"id":1,"payload":"a"},{"saddr":9,"daddr":${address},"id":2,"payload":{"b":[1.5]}}]}`,
      );
      expect(status).to.equal(200);
    });

    it('with max is answered with a list of one message, and with queue_empty if there is none', async () => {
      await broker.post(sendRequest(address, 1, 'a'));
      const { json } = await broker.post({ ...recvRequest(address), max: 1 });
      expect(json.messages).to.deep.equal([{ saddr: 1, daddr: address, id: 1, payload: 'a' }]);
      const empty = await broker.post({ ...recvRequest(address), max: 1 });
      expect([empty.status, reasonOf(empty)]).to.deep.equal([404, 'queue_empty']);
    });

    it('with details describes each delivery, after the fields of a plain RECV', async () => {
      for (const id of [1, 2, 3]) await broker.post(sendRequest(address, id));
      const one = await broker.post({ ...recvRequest(address), details: true });
      expect(one.text.replace(DELIVERY, '…$1')).to.equal(
        `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":1,"daddr":${address},"id":1,"payload":"hello",…1}`,
      );
      const two = await broker.post({ ...recvRequest(address), details: true, max: 2 });
      expect(two.text.match(DELIVERY)).to.have.length(2);
      const without = await broker.post({ ...recvRequest(address), details: false });
      expect(without.status).to.equal(404);
    });

    it('with details reports when the message was sent and when the lease ends', async () => {
      await broker.post(sendRequest(address, 1));
      const { sent_at_ms, lease_until_ms } = await deliveryOf({
        ...recvRequest(address),
        visibility_timeout_ms: 3_600_000,
      });
      expect(lease_until_ms - sent_at_ms).to.be.within(3_600_000, 3_660_000);
    });

    it('with visibility_timeout_ms sets the length of the lease', async () => {
      await broker.post(sendRequest(address, 1));
      for (let i = 0; i < 3; i++) {
        const { json } = await broker.post({ ...recvRequest(address), visibility_timeout_ms: 0 });
        expect(json).to.include({ code: 200, id: 1 });
      }
      await broker.post({ ...recvRequest(address), visibility_timeout_ms: 43_200_000 });
      expect((await broker.post(recvRequest(address))).status).to.equal(404);
    });

    it('with an attempt_id that cannot be written in UTF-8 is refused', async () => {
      for (const attempt_id of ['\ud800', 'a\udbffb'])
        expect((await other.post({ ...recvRequest(100), attempt_id })).status).to.equal(400);
      expect((await other.post({ ...recvRequest(4_000_000), attempt_id: '\u{1f600}' })).status).to.equal(404);
    });

    it('with attempt_id can be repeated, also through another worker', async () => {
      for (const id of [1, 2, 3]) await broker.post(sendRequest(address, id));
      const request = { ...recvRequest(address), attempt_id: 'Aa-1', max: 2, details: true };
      const first = await broker.post(request);
      expect(first.json.messages).to.have.length(2);
      expect((await other.post(request)).text).to.equal(first.text);
      expect((await other.post({ ...request, attempt_id: 'Aa-2' })).json.messages).to.have.length(1);
    });
  });

  describe('SEND', () => {
    it('with delay_ms is answered at once, and received when it is due', async () => {
      expect((await broker.post({ ...sendRequest(address, 1), delay_ms: 500 })).text).to.equal(ack('MSG_SEND_ACK'));
      expect((await other.post(recvRequest(address))).status).to.equal(404);
      let message: Reply | undefined;
      await until('the message is due', async () => (message = await other.post(recvRequest(address))).status === 200);
      expect(message?.json).to.include({ id: 1, payload: 'hello' });
    });

    it('with ttl_ms is not received after it has expired', async () => {
      await broker.post({ ...sendRequest(address, 1), ttl_ms: 1 });
      await broker.post({ ...sendRequest(address, 2), ttl_ms: 31_536_000_000 });
      await until('the first has expired', async () => {
        const { json } = await broker.post({ ...recvRequest(address), visibility_timeout_ms: 0 });
        return json.id === 2;
      });
    });

    it('accepts all of its options at once', async () => {
      const request = {
        ...sendRequest(address, 1),
        delay_ms: 604_800_000,
        ttl_ms: 31_536_000_000,
        dedup: true,
        durability: 'quorum',
      };
      for (let i = 0; i < 2; i++) expect((await broker.post(request)).text).to.equal(ack('MSG_SEND_ACK'));
      const conflict = await other.post({ ...request, payload: 'other' });
      expect([conflict.status, reasonOf(conflict)]).to.deep.equal([409, 'id_conflict']);
      const stat = await broker.post({ msg_type: 11, saddr: address, daddr: 5000 });
      expect(stat.json.payload).to.have.nested.property('queue.delayed', 1);
    });

    it('with delay_ms 0 is the same as without delay_ms', async () => {
      await broker.post({ ...sendRequest(address, 1), delay_ms: 0 });
      expect((await broker.post(recvRequest(address))).json).to.include({ id: 1 });
    });
  });

  describe('FREE', () => {
    it('with ids reports how many were freed and which were not held', async () => {
      for (const id of [1, 2, 3]) await broker.post(sendRequest(address, id));
      await broker.post({ ...recvRequest(address), max: 3 });
      const free = (ids: number[]): Promise<Reply> =>
        other.post({ msg_type: 'MSG_FREE_REQ', saddr: address, daddr: 5000, ids });
      const head = '{"code":200,"status":"OK","msg_type":"MSG_FREE_ACK"';
      expect((await free([3, 7, 1])).text).to.equal(`${head},"freed":2,"missing":[7]}`);
      expect((await free([2])).text).to.equal(`${head},"freed":1,"missing":[]}`);
      const nothing = await free([1, 2, 3]);
      expect([nothing.status, reasonOf(nothing)]).to.deep.equal([404, 'not_delivered']);
    });

    it('with ids ignores id, which clients with a fixed struct always send', async () => {
      for (const id of [0, 1]) await broker.post(sendRequest(address, id));
      await broker.post({ ...recvRequest(address), max: 2 });
      await broker.post({ ...freeRequest(address, 0), ids: [1] });
      expect((await broker.post(freeRequest(address, 0))).status).to.equal(200);
    });
  });

  it('KEEP and BACK are accepted by name and by number, and answered by name', async () => {
    await broker.post(sendRequest(address, 1));
    await broker.post(recvRequest(address));
    expect((await other.post(keepRequest(address, 1, 60_000))).text).to.equal(ack('MSG_KEEP_ACK'));
    expect((await other.post({ ...keepRequest(address, 1, 60_000), msg_type: 15 })).text).to.equal(ack('MSG_KEEP_ACK'));
    expect((await other.post(backRequest(address, 1))).text).to.equal(ack('MSG_BACK_ACK'));
    await broker.post(recvRequest(address));
    expect((await other.post({ ...backRequest(address, 1), msg_type: 17 })).text).to.equal(ack('MSG_BACK_ACK'));
  });

  it('KEEP extends a lease, or ends it', async () => {
    await broker.post(sendRequest(address, 1));
    const request = { ...recvRequest(address), attempt_id: 'it tells of the lease' };
    const before = await deliveryOf(request);
    await broker.post(keepRequest(address, 1, 43_200_000));
    const after = await deliveryOf(request);
    expect(after.receipt).to.equal(before.receipt);
    expect(after.lease_until_ms - before.lease_until_ms).to.be.above(43_000_000);
    expect((await broker.post(recvRequest(address))).status).to.equal(404);
    await broker.post(keepRequest(address, 1, 0));
    expect((await broker.post(recvRequest(address))).json).to.include({ id: 1 });
  });

  it('BACK returns a message at once or after a delay, and decides whether the delivery counts as an attempt', async () => {
    await broker.post(sendRequest(address, 1));
    const take = (): Promise<Delivery> => deliveryOf(recvRequest(address));
    expect((await take()).attempt).to.equal(1);
    await broker.post({ ...backRequest(address, 1), count: false });
    expect((await take()).attempt).to.equal(1);
    await broker.post({ ...backRequest(address, 1), count: true });
    expect((await take()).attempt).to.equal(2);
    await broker.post({ ...backRequest(address, 1), delay_ms: 604_800_000 });
    expect((await broker.post(recvRequest(address))).status).to.equal(404);
  });

  it('a receipt is valid for one delivery: of two receivers that got the message only the later one can free it', async () => {
    await broker.post(sendRequest(address, 1));
    const first = await deliveryOf({ ...recvRequest(address), visibility_timeout_ms: 0 });
    const second = await deliveryOf(recvRequest(address));
    for (const request of [freeRequest(address, 1), keepRequest(address, 1, 1_000), backRequest(address, 1)]) {
      const lost = await broker.post({ ...request, receipt: first.receipt });
      expect([lost.status, reasonOf(lost)]).to.deep.equal([409, 'lease_lost']);
    }
    for (const request of [keepRequest(address, 1, 1_000), freeRequest(address, 1)])
      expect((await other.post({ ...request, receipt: second.receipt })).status).to.equal(200);
  });

  it('SEND with dedup and a short ttl_ms adds a message again after the window, even with another payload', async () => {
    const shortMemory = await startBroker({ AIZUMI_DEDUP_WINDOW_MS: '1000' });
    try {
      const tick = (id: number, payload: string): object => ({ ...sendRequest(100, id, payload), dedup: true });
      for (const id of [1, 2]) await shortMemory.post({ ...tick(id, 'tick'), ttl_ms: 500 });
      const overAtMs = performance.now() + 500 + 2 * 1_000;
      await until('the deduplication window is over', () => performance.now() > overAtMs);
      expect((await shortMemory.post({ ...tick(1, 'tick'), ttl_ms: 3_600_000 })).status).to.equal(200);
      expect((await shortMemory.post(tick(2, 'tock'))).status).to.equal(200);
      expect((await shortMemory.post(recvRequest(100))).json).to.include({ id: 1, payload: 'tick' });
      expect((await shortMemory.post(recvRequest(100))).json).to.include({ id: 2, payload: 'tock' });
      expect((await shortMemory.post(recvRequest(100))).status).to.equal(404);
    } finally {
      await shortMemory.stop();
    }
  });
});
