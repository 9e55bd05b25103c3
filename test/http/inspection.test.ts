import { expect } from 'chai';
import { startBeside, startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';

const about = (msgType: string, saddr: number, fields: object = {}): object => ({
  msg_type: msgType,
  saddr,
  daddr: 5000,
  ...fields,
});
const peekRequest = (saddr: number, fields: object): object => about('MSG_PEEK_REQ', saddr, fields);

interface Page {
  messages: Record<string, unknown>[];
  cursor: string | null;
}
const page = ({ json }: Reply): Page => json as unknown as Page;
const faultsOf = ({ json }: Reply): string[] =>
  (json.error as { details: { message: string }[] }).details.map(({ message }) => message);

describe('http: PEEK, MOVE, DROP and settings', () => {
  let broker: TestBroker;
  let other: TestBroker;
  let address = 100;
  before(async () => {
    broker = await startBroker();
    other = await startBeside(broker);
  });
  after(() => Promise.all([broker.stop(), other.stop()]));
  beforeEach(() => address++);

  /** Makes a message that was delivered the maximum number of times. */
  async function dead(id: number): Promise<void> {
    await broker.post({ ...heloRequest(address), settings: { max_deliveries: 1, visibility_timeout_ms: 0 } });
    await broker.post(sendRequest(address, id, { n: 1.5 }));
    for (let i = 0; i < 2; i++) await broker.post(recvRequest(address));
  }

  describe('PEEK', () => {
    it('shows ten messages, and the next ten with the cursor, payloads byte for byte', async () => {
      for (let id = 1; id <= 12; id++) await broker.post(sendRequest(address, id, { x: '1.0' }));
      const first = await other.post(peekRequest(address, { state: 'waiting' }));
      expect(page(first).messages.map(({ id }) => id)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      const { cursor } = page(first);
      const { text, status } = await broker.post(peekRequest(address, { state: 'waiting', cursor }));
      const message = (id: number): string =>
        `{"saddr":1,"daddr":${address},"id":${id},"payload":{"x":"1.0"},"sent_at_ms":…,"attempts":0}`;
      expect(text.replace(/"sent_at_ms":1\d{12}/g, '"sent_at_ms":…')).to.equal(
        `{"code":200,"status":"OK","msg_type":"MSG_PEEK_ACK","messages":[${message(11)},${message(12)}],"cursor":null}`,
      );
      expect(status).to.equal(200);
      expect((await broker.post(recvRequest(address))).json.id, 'it takes none').to.equal(1);
    });

    it('shows the end of the lease and the receipt of a leased message, which can be freed with it', async () => {
      await broker.post(sendRequest(address, 1));
      await broker.post(recvRequest(address));
      const [message] = page(await other.post(peekRequest(address, { state: 'leased' }))).messages;
      expect(message).to.have.all.keys(
        ...['saddr', 'daddr', 'id', 'payload', 'sent_at_ms', 'attempts', 'lease_until_ms', 'receipt'],
      );
      const freed = await broker.post(about('MSG_FREE_REQ', address, { id: 1, receipt: message!.receipt }));
      expect(freed.status).to.equal(200);
    });

    it('shows when a delayed message is due, and when and why a dead one died', async () => {
      await broker.post({ ...sendRequest(address, 1), delay_ms: 60_000 });
      const [delayed] = page(await other.post(peekRequest(address, { state: 'delayed' }))).messages;
      expect(Number(delayed!.due_at_ms) - Number(delayed!.sent_at_ms)).to.be.within(60_000, 60_001);
      await dead(2);
      const [died] = page(await other.post(peekRequest(address, { state: 'dead' }))).messages;
      expect(died).to.include({ id: 2, attempts: 1, cause: 'max_deliveries' });
      expect(died!.died_at_ms).to.be.at.least(Number(died!.sent_at_ms));
    });

    it('names the faults of a request', async () => {
      const reply = await broker.post(peekRequest(address, { state: 'gone', max: 1001, cursor: 'x' }));
      expect(reply.status).to.equal(400);
      expect(faultsOf(reply)).to.deep.equal([
        'state must be one of [waiting, leased, delayed, dead]',
        'max must be an integer from 1 to 1000, a JSON number',
        'cursor must be one that PEEK has returned',
      ]);
      expect(faultsOf(await broker.post(peekRequest(address, {})))).to.deep.equal(['state is required']);
    });

    const broken = ['4.0.x', '4.0.-', '3.9999999999999999.:::', '4.9.99999999-1', '3.0.99999999999999999999999-5'];
    for (const cursor of [...broken, '3.0.5-18446744073709551616', '1.0.1-1-1', '5.0.0', '1.0.', '1.0.0\n', '1.00.0'])
      it(`refuses an invalid cursor: ${JSON.stringify(cursor)}`, async () => {
        await broker.post(sendRequest(address, 1));
        for (const state of ['waiting', 'leased', 'delayed', 'dead']) {
          const { status, json } = await broker.post(peekRequest(address, { state, cursor }));
          expect([status, (json.error as { details: unknown }).details], state).to.deep.equal([
            400,
            [{ field: 'cursor', message: 'cursor must be one that PEEK has returned' }],
          ]);
        }
      });

    it('refuses a cursor of another state', async () => {
      for (const id of [1, 2]) await broker.post(sendRequest(address, id));
      const { cursor } = page(await broker.post(peekRequest(address, { state: 'waiting', max: 1 })));
      const status = async (state: string): Promise<number> =>
        (await broker.post(peekRequest(address, { state, cursor }))).status;
      expect(await status('waiting')).to.equal(200);
      for (const state of ['leased', 'delayed', 'dead']) expect(await status(state), state).to.equal(400);
    });
  });

  describe('MOVE', () => {
    it('reports how many messages it has returned to the queue', async () => {
      await dead(1);
      const { text } = await other.post(about('MSG_MOVE_REQ', address, { ids: [1, 2] }));
      expect(text).to.equal('{"code":200,"status":"OK","msg_type":"MSG_MOVE_ACK","count":1}');
      const { json } = await broker.post({ ...recvRequest(address), details: true });
      expect(json).to.deep.include({ saddr: 1, id: 1, payload: { n: 1.5 } });
      expect(json.delivery).to.include({ attempt: 1 });
      expect((await other.post(about('MSG_MOVE_REQ', address))).json.count).to.equal(0);
    });
  });

  describe('DROP', () => {
    it('reports how many messages it has deleted', async () => {
      for (const id of [1, 2, 2, 3]) await broker.post(sendRequest(address, id));
      const { text } = await other.post(about('MSG_DROP_REQ', address, { state: 'waiting', ids: [2] }));
      expect(text).to.equal('{"code":200,"status":"OK","msg_type":"MSG_DROP_ACK","count":2}');
      expect((await other.post(about('MSG_DROP_REQ', address, { state: 'waiting' }))).json.count).to.equal(2);
      expect((await broker.post(recvRequest(address))).status).to.equal(404);
    });

    it('deletes no leased messages', async () => {
      const reply = await broker.post(about('MSG_DROP_REQ', address, { state: 'leased', ids: [] }));
      expect(faultsOf(reply)).to.deep.equal([
        'state must be one of [waiting, delayed, dead]',
        'ids must be a list of 1 to 1000 ids',
      ]);
    });

    it('without ids deletes all messages of a state, and reports whether there are more', async () => {
      const one = (_: unknown, id: number): Promise<Reply> => broker.post(sendRequest(address, id));
      const replies = await Promise.all(Array.from({ length: 1_100 }, one));
      expect(replies.filter(({ status }) => status !== 200).map(({ text }) => text)).to.deep.equal([]);
      for (const count of [1_100, 0]) {
        const { text } = await broker.post(about('MSG_DROP_REQ', address, { state: 'waiting' }));
        expect(text).to.equal(`{"code":200,"status":"OK","msg_type":"MSG_DROP_ACK","count":${count},"more":false}`);
      }
    });
  });

  describe('HELO with settings', () => {
    const settings = async (by: TestBroker): Promise<unknown> =>
      ((await by.post(statRequest(address))).json.payload as { queue: { settings: unknown } }).queue.settings;

    it('stores them for every worker, changes only those given, and removes those that are null', async () => {
      const helo = (changes: object): Promise<Reply> => broker.post({ ...heloRequest(address), settings: changes });
      const all = { visibility_timeout_ms: 0, max_deliveries: 2, max_queue_length: 1_000_000, ttl_ms: 1 };
      expect((await helo(all)).text).to.equal('{"code":200,"status":"OK","msg_type":"MSG_HELO_ACK"}');
      expect(await settings(other)).to.deep.equal(all);
      await helo({ max_deliveries: null, ttl_ms: 5 });
      expect(await settings(other)).to.deep.equal({
        visibility_timeout_ms: 0,
        max_queue_length: 1_000_000,
        ttl_ms: 5,
      });
      await broker.post(heloRequest(address));
      expect(await settings(other)).to.include({ ttl_ms: 5 });
    });

    it('names values out of bounds, and sets nothing', async () => {
      const wrong = { visibility_timeout_ms: 43_200_001, max_deliveries: 0, max_queue_length: 0, ttl_ms: 0, tll: 1 };
      const reply = await broker.post({ ...heloRequest(address), settings: wrong });
      expect(faultsOf(reply)).to.deep.equal([
        'settings.visibility_timeout_ms must be an integer from 0 to 43200000, a JSON number',
        'settings.max_deliveries must be an integer from 1 to 1000000, a JSON number',
        'settings.max_queue_length must be an integer from 1 to 9007199254740991, a JSON number',
        'settings.ttl_ms must be an integer from 1 to 31536000000, a JSON number',
        'tll is not a field of this request',
      ]);
      const { json } = await broker.post(statRequest(address));
      expect((json.payload as { queue: unknown }).queue).to.equal(null);
    });

    it('refuses values above the operator’s limits, and sets nothing', async () => {
      const most = { max_deliveries: 1_000_000, max_queue_length: 1_000_000, max_queue_bytes: 1_073_741_824 };
      const over = { max_queue_length: Number.MAX_SAFE_INTEGER, max_queue_bytes: 1_073_741_825 };
      const reply = await broker.post({ ...heloRequest(address), settings: over });
      expect([reply.status, reply.json.msg_type]).to.deep.equal([400, 'MSG_HELO_ACK']);
      expect(reply.json.error).to.include({ reason: 'invalid_request' });
      expect(faultsOf(reply)).to.deep.equal([
        'settings.max_queue_length must be at most 1000000 here (AIZUMI_MAX_QUEUE_LENGTH)',
        'settings.max_queue_bytes must be at most 1073741824 here (AIZUMI_MAX_QUEUE_BYTES)',
      ]);
      const { json } = await broker.post(statRequest(address));
      expect((json.payload as { queue: unknown }).queue).to.equal(null);
      expect((await broker.post({ ...heloRequest(address), settings: most })).status).to.equal(200);
      expect(await settings(broker)).to.deep.equal(most);
    });

    it('limits the queue from the next SEND on', async () => {
      await broker.post(sendRequest(address, 1));
      await broker.post({ ...heloRequest(address), settings: { max_queue_length: 1 } });
      expect((await broker.post(sendRequest(address, 2))).status).to.equal(429);
    });
  });
});
