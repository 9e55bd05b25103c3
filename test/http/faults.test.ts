// Requests with more faults than anybody reads: what they cost and what is told of them.
import { expect } from 'chai';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { statRequest } from '../../harness/requests.js';

const MANY = 100_000;

interface Told {
  reason: string;
  message: string;
  details: { field: string; message: string }[];
}
const errorOf = ({ json }: Reply): Told => json.error as Told;

const free = (ids: unknown[]): object => ({ msg_type: 'MSG_FREE_REQ', saddr: 100, daddr: 5000, ids });
const unknownFields = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, 1]));

describe('http: a request with very many faults', () => {
  let file: KeysFile;
  let broker: TestBroker;
  let good: string;
  let none: string;

  before(async () => {
    file = keysFile();
    good = file.add(ALL);
    none = file.add({});
    broker = await startBroker({ ...file.env, AIZUMI_MAX_BODY_BYTES: '4000000' });
  });
  after(async () => {
    await broker.stop();
    file.delete();
  });
  const ask = (key: string, request: unknown): Promise<Reply> => broker.post(request, bearer(key));

  it('is told that it may not, and nothing of its faults, where it may not', async () => {
    const requests = [
      free(Array<string>(MANY).fill('')),
      { ...free([1]), ...unknownFields(MANY) },
      { ...statRequest(100), msg_type: 'MSG_HELO_REQ', settings: unknownFields(MANY) },
      { ...statRequest(100), wrong: 1 },
    ];
    for (const request of requests) {
      const answer = await ask(none, request);
      expect([answer.status, errorOf(answer).reason]).to.deep.equal([403, 'forbidden']);
      expect(answer.text).to.have.length.below(500);
    }
    const batch = await ask(none, Array(20).fill(free(Array<string>(1_000).fill(''))));
    expect((JSON.parse(batch.text) as { code: number }[]).map(({ code }) => code)).to.deep.equal(Array(20).fill(403));
  });

  it('is told first that its address is none: nobody could say whether it may', async () => {
    for (const saddr of ['100', -1, 2 ** 32, null]) {
      const answer = await ask(none, { ...statRequest(100), saddr });
      expect(answer.status, String(saddr)).to.equal(400);
      expect(errorOf(answer).details.map(({ field }) => field)).to.deep.equal(['saddr']);
    }
    // of the address that decides about it alone
    expect((await ask(none, { ...statRequest(100), daddr: 'x' })).status).to.equal(403);
  });

  it('is told of a list that is too long by its length alone', async () => {
    for (const id of ['', 1]) {
      const answer = await ask(good, free(Array(MANY).fill(id)));
      expect([answer.status, errorOf(answer).details]).to.deep.equal([
        400,
        [{ field: 'ids', message: 'ids must be a list of 1 to 1000 ids' }],
      ]);
    }
  });

  it('is told of 20 elements of a list, by their places, and how many more there are', async () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => (i % 2 === 0 ? i : ''));
    const { message, details } = errorOf(await ask(good, free(ids)));
    expect(details.map(({ field }) => field)).to.deep.equal(Array.from({ length: 20 }, (_, i) => `ids.${2 * i + 1}`));
    expect(message).to.match(/a JSON number; and 480 more$/);
  });

  it('is told of 20 fields that there are not, and how many more there are', async () => {
    const { message, details } = errorOf(await ask(good, { ...free([1]), ...unknownFields(MANY) }));
    expect(details.map(({ field }) => field)).to.deep.equal(Array.from({ length: 20 }, (_, i) => `a${i}`));
    expect(message).to.match(/a19 is not a field of this request; and 99,980 more$/);
    const nested = await ask(good, { ...statRequest(100), msg_type: 'MSG_HELO_REQ', settings: unknownFields(MANY) });
    expect(errorOf(nested).details[0]).to.deep.equal({
      field: 'settings.a0',
      message: 'a0 is not a field of this request',
    });
    expect(errorOf(nested).message).to.match(/; and 99,980 more$/);
  });

  it('is told of 20 in all, of several kinds', async () => {
    const { message, details } = errorOf(
      await ask(good, { ...free(Array(30).fill('')), receipt: 1, ...unknownFields(30) }),
    );
    expect(details).to.have.length(20);
    // 30 ids and 30 fields, a receipt that is none and stands beside ids
    expect(message).to.match(/; and 4[12] more$/);
  });

  it('does not get a long name back', async () => {
    const answer = await ask(good, { ...statRequest(100), ['x'.repeat(1_000_000)]: 1 });
    expect(answer.status).to.equal(400);
    expect(answer.text).to.have.length.below(1_000);
  });

  it('is refused for a __proto__ in its settings', async () => {
    const answer = await ask(good, '{"msg_type":9,"saddr":1,"daddr":5000,"settings":{"__proto__":{"ttl_ms":1}}}');
    expect([answer.status, errorOf(answer).details[0]?.field]).to.deep.equal([400, 'settings.__proto__']);
  });
});
