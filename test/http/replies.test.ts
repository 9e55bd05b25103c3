// The maximum size of the reply to one body, and clients that do not read their replies.
import { expect } from 'chai';
import { startBeside, startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import type { Connection } from '../../harness/connection.js';
import { flood } from '../support/memory-floods.js';
import { heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const LARGE = 'x'.repeat(90_000);
/** Room for eleven of the large messages. */
const SETTINGS = { AIZUMI_MAX_BODY_BYTES: '100000', AIZUMI_MAX_REPLY_BYTES: '1000000' };

interface Answer {
  code: number;
  id?: number;
  payload?: unknown;
  delivery?: { attempt: number };
  error?: { reason: string; outcome: string; message: string };
}

const answersOf = ({ json }: Reply): Answer[] => json as unknown as Answer[];
const repeat = (count: number, request: object): object[] => Array.from({ length: count }, () => request);
const again = (address: number): object => ({ ...recvRequest(address), visibility_timeout_ms: 0, details: true });

describe('http/replies', () => {
  let broker: TestBroker;
  let other: TestBroker;
  let address = 100;
  before(async () => {
    broker = await startBroker(SETTINGS);
    other = await startBeside(broker, SETTINGS);
  });
  after(() => Promise.all([broker.stop(), other.stop()]));
  beforeEach(() => address++);

  async function expectBounded(of: TestBroker, requests: object[]): Promise<Answer[]> {
    const reply = await of.post(requests);
    expect(reply.text.length).to.be.below(1_100_000);
    const answers = answersOf(reply);
    const refused = answers.filter(({ code }) => code !== 200);
    expect(refused).to.have.length.above(0);
    for (const { code, error } of refused) {
      expect([code, error?.reason, error?.outcome]).to.deep.equal([503, 'overloaded', 'not_done']);
      expect(error?.message).to.include('AIZUMI_MAX_REPLY_BYTES');
    }
    return answers.filter(({ code }) => code === 200);
  }

  for (const [who, of] of [
    ['through the worker that took the message', () => broker],
    ['through one that has never seen the queue', () => other],
  ] as const)
    it(`RECVs of a batch whose messages no longer fit in its reply are refused without effect, ${who}`, async () => {
      await broker.post({ ...heloRequest(address), settings: { max_deliveries: 1_000 } });
      await broker.post(sendRequest(address, 1, LARGE));
      const done = await expectBounded(of(), repeat(50, again(address)));
      expect(done.map(({ delivery }) => delivery?.attempt)).to.deep.equal(done.map((_, i) => i + 1));
      expect(done.length).to.be.within(5, 11);
      const { delivery } = (await of().post(again(address))).json as unknown as Answer;
      expect(delivery?.attempt, 'refused RECVs took no message').to.equal(done.length + 1);
    });

  it('messages that are larger than the worker had estimated are returned, and do not count as delivered', async () => {
    await other.post([again(address), again(address)]); // on an empty queue, so that its estimate is too small
    for (let id = 0; id < 30; id++) await broker.post(sendRequest(address, id, LARGE));
    const done = await expectBounded(other, repeat(30, { ...recvRequest(address), details: true }));
    const { json } = await broker.post(statRequest(address));
    expect(json.payload).to.have.nested.property('queue.leased', done.length);
    const rest: (number | undefined)[] = [];
    for (let left = 30 - done.length; left > 0; left--) {
      const { id, delivery } = (await broker.post({ ...recvRequest(address), details: true }))
        .json as unknown as Answer;
      expect(delivery?.attempt).to.equal(1);
      rest.push(id);
    }
    const all = [...done.map(({ id }) => id), ...rest].sort((a, b) => a! - b!);
    expect(all).to.deep.equal(all.map((_, i) => i));
  });

  it('PEEKs of a batch whose messages no longer fit in its reply are refused too', async () => {
    for (let id = 0; id < 4; id++) await broker.post(sendRequest(address, id, LARGE));
    const peek = { msg_type: 'MSG_PEEK_REQ', saddr: address, daddr: 5000, state: 'waiting', max: 4 };
    expect(await expectBounded(broker, repeat(9, peek))).to.have.length.within(1, 2);
  });

  it('a batch that receives many small messages is answered in full and in order, by a worker new to the queue', async () => {
    await broker.post(Array.from({ length: 1_000 }, (_, id) => sendRequest(address, id)));
    const answers = answersOf(await other.post(repeat(1_000, recvRequest(address))));
    expect(answers.map(({ id }) => id)).to.deep.equal(answers.map((_, i) => i));
  });

  it('RECVs of a batch that wait at many queues reserve no reply size while they wait', async () => {
    const first = address;
    address += 300;
    const batch = Array.from({ length: 300 }, (_, i) => ({ ...recvRequest(first + i), wait_ms: 15_000 }));
    const answered = other.post(batch);
    await broker.post(sendRequest(first + 299, 299));
    await broker.post(Array.from({ length: 299 }, (_, i) => sendRequest(first + i, i)));
    expect(answersOf(await answered).map(({ id }) => id)).to.deep.equal(batch.map((_, i) => i));
  });

  describe('a client that does not read its replies', () => {
    let connection: Connection;
    afterEach(() => connection.destroy());

    /** More than the buffers of the operating system hold for a connection. */
    const LARGEST = 'x'.repeat(1_000_000);
    const all = (of: number): object => ({ ...recvRequest(of), max: 4, details: true });

    it('is disconnected, and its unsent messages are returned; a waiting or a slow client is not', async function () {
      this.timeout(60_000);
      const worker = await startBroker();
      const floods: { end: () => void }[] = [];
      let timer: NodeJS.Timeout | undefined;
      const [waitsAt, slowAt] = [address + 10, address + 11];
      try {
        for (let id = 0; id < 8; id++) await worker.post(sendRequest(address, id, LARGEST));
        for (let id = 0; id < 4; id++) await worker.post(sendRequest(waitsAt, id, LARGEST));
        for (let id = 0; id < 4; id++) await worker.post(sendRequest(slowAt, id, LARGEST));
        const pair = Buffer.concat([
          httpRequest(JSON.stringify(all(address))),
          httpRequest(JSON.stringify(all(address))),
        ]);
        floods.push(await flood(worker.url, 1, pair, false));
        // the waiting client reads its first reply at once and then waits
        connection = await openConnection(worker.url);
        const wait = JSON.stringify({ ...recvRequest(waitsAt), wait_ms: 19_000 });
        connection.write(httpRequest(JSON.stringify(all(waitsAt))));
        expect((await connection.reply(20_000)).status).to.equal(200);
        connection.write(httpRequest(wait));
        const slow = await flood(worker.url, 1, httpRequest(JSON.stringify(all(slowAt))), false);
        floods.push(slow);
        const [reader] = slow.sockets;
        let taken = 0;
        reader!.on('data', (bytes) => {
          taken += bytes.length;
          reader!.pause();
        });
        timer = setInterval(() => reader!.resume(), 200);
        const fromMs = performance.now();
        await until(
          'the time after which such a client is disconnected has passed',
          () => performance.now() - fromMs > 12_000,
          15_000,
        );
        await worker.post(sendRequest(waitsAt, 4));
        expect((await connection.reply(10_000)).text, 'the waiting client was not disconnected').to.include('"id":4');
        const back = await until(
          'the unsent messages are returned',
          async () => {
            const { json } = await worker.post({ ...all(address), visibility_timeout_ms: 1_000 });
            return json.messages as Answer[] | undefined;
          },
          // shorter than the leases
          17_000,
        );
        // the messages of one of its two replies: the two RECVs took messages in turn
        expect(back.map(({ delivery }) => delivery?.attempt)).to.deep.equal([1, 1, 1, 1]);
        clearInterval(timer);
        reader!.removeAllListeners('data').on('data', (bytes) => (taken += bytes.length));
        reader!.resume();
        await until('the slow client has read everything', () => taken > 4_000_000, 20_000);
      } finally {
        clearInterval(timer);
        for (const { end } of floods) end();
        await worker.stop();
      }
    });
  });
});
