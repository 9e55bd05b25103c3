import { expect } from 'chai';
import { openStore } from '../support/store.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { freeRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const OTHER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';

describe('http: traceparent', () => {
  let broker: TestBroker;
  let address = 0;
  before(async () => (broker = await startBroker()));
  after(() => broker.stop());
  beforeEach(() => address++);

  const send = async (more: object = {}, headers: Record<string, string> = { traceparent: TRACEPARENT }) => {
    const reply = await broker.post({ ...sendRequest(address, 1), ...more }, headers);
    expect(reply.json).to.deep.equal({ code: 200, status: 'OK', msg_type: 'MSG_SEND_ACK' });
  };
  const recv = (more: object = {}) => broker.post({ ...recvRequest(address), details: true, ...more });
  const received = async (more: object = {}): Promise<unknown> => {
    const { headers, json } = await recv(more);
    const { traceparent } = json.delivery as { traceparent?: string };
    expect(headers.get('traceparent') ?? undefined).to.equal(traceparent);
    return traceparent;
  };

  it('is passed from SEND to RECV, in the details and as a header', async () => {
    await send();
    expect(await received()).to.equal(TRACEPARENT);
  });

  it('changes nothing in the reply to a plain RECV', async () => {
    await send();
    const { text, headers } = await broker.post(recvRequest(address));
    expect(text).to.match(
      /^\{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":\d+,"daddr":\d+,"id":1,"payload":/,
    );
    expect(text).not.to.include('traceparent');
    expect(headers.get('traceparent')).to.equal(TRACEPARENT);
  });

  it('is absent if none was sent', async () => {
    await send({}, {});
    const { headers, text } = await recv();
    expect(headers.get('traceparent')).to.equal(null);
    expect(text).not.to.include('trace');
    const store = openStore(broker.config);
    const [entry] = await store.raw.xrange(`${broker.config.keyPrefix}:{${address}}:queue`, '-', '+');
    store.close();
    expect(entry![1]).to.have.length(6);
  });

  it('survives delay, lease, BACK with a delay, death and MOVE', async () => {
    await send({ delay_ms: 1, ttl_ms: 60_000 });
    await until('the message is due', async () => (await recv({ visibility_timeout_ms: 0 })).status === 200);
    expect(await received({ attempt_id: 'a' })).to.equal(TRACEPARENT);
    expect(await received({ attempt_id: 'a' }), 'told again').to.equal(TRACEPARENT);
    await broker.post({ msg_type: 'MSG_BACK_REQ', saddr: address, daddr: 5000, id: 1, delay_ms: 1 });
    await until('the message is due again', async () => (await recv({ visibility_timeout_ms: 0 })).status === 200);
    await broker.post({ msg_type: 'MSG_HELO_REQ', saddr: address, daddr: 5000, settings: { max_deliveries: 1 } });
    expect((await recv()).status, 'it dies').to.equal(404);
    const moved = await broker.post({ msg_type: 'MSG_MOVE_REQ', saddr: address, daddr: 5000 });
    expect(moved.json.count).to.equal(1);
    expect(await received()).to.equal(TRACEPARENT);
  });

  it('works with dedup, also for a delayed message: of repeated SENDs the first one counts', async () => {
    for (const delay_ms of [0, 300]) {
      const id = delay_ms + 1;
      await send({ dedup: true, delay_ms, id });
      await send({ dedup: true, delay_ms, id }, { traceparent: OTHER });
      await send({ dedup: true, delay_ms, id }, {});
      let got: unknown;
      await until('the message is due', async () => {
        const reply = await recv();
        got = (reply.json.delivery as { traceparent?: string } | undefined)?.traceparent;
        return reply.status === 200;
      });
      expect(got).to.equal(TRACEPARENT);
      expect((await broker.post({ ...freeRequest(address, id) })).status).to.equal(200);
      expect((await recv()).status, 'one message').to.equal(404);
    }
  });

  it('does not keep a delayed message with dedup from being dropped', async () => {
    await send({ dedup: true, delay_ms: 60_000 });
    const drop = { msg_type: 'MSG_DROP_REQ', saddr: address, daddr: 5000, state: 'delayed' };
    expect((await broker.post(drop)).json.count).to.equal(1);
    const peek = { msg_type: 'MSG_PEEK_REQ', saddr: address, daddr: 5000, state: 'delayed' };
    await send({ delay_ms: 60_000, payload: { a: ':;' } });
    const { messages } = (await broker.post(peek)).json as { messages: { payload: unknown }[] };
    expect(messages.map(({ payload }) => payload)).to.deep.equal([{ a: ':;' }]);
  });

  it('in the header of a batch applies to all SENDs without a field; a reply with several messages has no header', async () => {
    const batch = [1, 2].map((id) => ({ ...sendRequest(address, id), ...(id === 2 && { traceparent: OTHER }) }));
    expect((await broker.post(batch, { traceparent: TRACEPARENT })).status).to.equal(200);
    const { json, headers } = await recv({ max: 2 });
    const messages = json.messages as { delivery: { traceparent: string } }[];
    expect(messages.map(({ delivery }) => delivery.traceparent)).to.deep.equal([TRACEPARENT, OTHER]);
    expect(headers.get('traceparent')).to.equal(null);
  });

  const BAD = [
    'nonsense',
    TRACEPARENT.toUpperCase(),
    TRACEPARENT.replace(/^00/, 'ff'),
    TRACEPARENT.replace(/-4b\w+-/, `-${'0'.repeat(32)}-`),
    TRACEPARENT.replace(/-00f\w+-/, `-${'0'.repeat(16)}-`),
    `${TRACEPARENT}-00`,
    `${TRACEPARENT}, ${TRACEPARENT}`,
  ];
  for (const traceparent of BAD)
    it(`is ignored as a header and refused as a field when it is ${traceparent}`, async () => {
      await send({}, { traceparent });
      expect(await received()).to.equal(undefined);
      const refused = await broker.post({ ...sendRequest(address, 1), traceparent });
      expect(refused.status).to.equal(400);
      expect(refused.json.error).to.deep.include({
        details: [{ field: 'traceparent', message: 'traceparent must be a traceparent as W3C Trace Context has it' }],
      });
    });
});
