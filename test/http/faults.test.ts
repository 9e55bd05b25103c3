// Requests with very many faults: validation stops early, and the reply stays short.
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

  it('is only answered 403 without permission, and its faults are not reported', async () => {
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

  it('is answered 400 before 403 if its address is invalid, since no permission can be checked', async () => {
    for (const saddr of ['100', -1, 2 ** 32, null]) {
      const answer = await ask(none, { ...statRequest(100), saddr });
      expect(answer.status, String(saddr)).to.equal(400);
      expect(errorOf(answer).details.map(({ field }) => field)).to.deep.equal(['saddr']);
    }
    // only the address that the permission is about counts
    expect((await ask(none, { ...statRequest(100), daddr: 'x' })).status).to.equal(403);
  });

  it('gets one fault for a list that is too long, whatever is in the list', async () => {
    for (const id of ['', 1]) {
      const answer = await ask(good, free(Array(MANY).fill(id)));
      expect([answer.status, errorOf(answer).details]).to.deep.equal([
        400,
        [{ field: 'ids', message: 'ids must be a list of 1 to 1000 ids' }],
      ]);
    }
  });

  it('gets the indexes of the first 20 wrong elements of a list, and the number of the others', async () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => (i % 2 === 0 ? i : ''));
    const { message, details } = errorOf(await ask(good, free(ids)));
    expect(details.map(({ field }) => field)).to.deep.equal(Array.from({ length: 20 }, (_, i) => `ids.${2 * i + 1}`));
    expect(message).to.match(/a JSON number; and 480 more$/);
  });

  it('gets the names of the first 20 unknown fields, and the number of the others', async () => {
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

  it('gets at most 20 faults in all, of whatever kinds', async () => {
    const { message, details } = errorOf(
      await ask(good, { ...free(Array(30).fill('')), receipt: 1, ...unknownFields(30) }),
    );
    expect(details).to.have.length(20);
    // 30 ids, 30 fields, and a receipt that is invalid and excluded by ids
    expect(message).to.match(/; and 4[12] more$/);
  });

  it('does not get a very long field name back', async () => {
    const answer = await ask(good, { ...statRequest(100), ['x'.repeat(1_000_000)]: 1 });
    expect(answer.status).to.equal(400);
    expect(answer.text).to.have.length.below(1_000);
  });

  it('is refused for a __proto__ in its settings', async () => {
    const answer = await ask(good, '{"msg_type":9,"saddr":1,"daddr":5000,"settings":{"__proto__":{"ttl_ms":1}}}');
    expect([answer.status, errorOf(answer).details[0]?.field]).to.deep.equal([400, 'settings.__proto__']);
  });
});
