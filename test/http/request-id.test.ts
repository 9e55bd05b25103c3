// X-Request-Id: the client's id of a request is returned with every reply; an error always has one.
import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';

const MADE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ID = 'order-4711/2_try.3:a+b=c@d';

describe('http/request-id', () => {
  let broker: TestBroker;
  before(async () => (broker = await startBroker()));
  after(() => broker.stop());

  async function idOf(request: unknown, given?: string): Promise<string | null> {
    const { headers } = await broker.post(request, given === undefined ? {} : { 'x-request-id': given });
    return headers.get('x-request-id');
  }

  it('is returned as the client sent it, whatever the reply', async () => {
    expect(await idOf(sendRequest(100, 1), ID), '200').to.equal(ID);
    expect(await idOf(recvRequest(101), ID), '404').to.equal(ID);
    expect(await idOf('no JSON', ID), '400').to.equal(ID);
    expect(await idOf({ msg_type: 'MSG_PUSH_REQ' }, ID), '501').to.equal(ID);
    expect(await idOf([sendRequest(100, 2)], ID), 'a batch').to.equal(ID);
    expect(await idOf([sendRequest(100, 3), { msg_type: 99 }], ID), 'a batch with an error').to.equal(ID);
  });

  for (const [method, path] of [
    ['GET', 'livez'],
    ['GET', 'readyz'],
    ['GET', 'queues'],
    ['GET', 'queues/4711'],
    ['GET', 'nowhere'],
    ['DELETE', ''],
  ] as const)
    it(`is returned as the client sent it for ${method} /${path}`, async () => {
      const { headers } = await fetch(`${broker.url}${path}`, { method, headers: { 'x-request-id': ID } });
      expect(headers.get('x-request-id')).to.equal(ID);
    });

  it('is generated for an error if the client sent none, a new one each time', async () => {
    const ids = [await idOf(recvRequest(101)), await idOf('no JSON'), await idOf([sendRequest(100, 4), {}])];
    for (const id of ids) expect(id).to.match(MADE);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('is in the replies to invalid HTTP too', async () => {
    const broken = { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked', 'X-Request-Id': ID } };
    for (const [bytes, id] of [
      ['no HTTP\r\n\r\n', MADE],
      [httpRequest('', { headers: { Cookie: 'x'.repeat(20_000) } }), MADE],
      [Buffer.concat([httpRequest('', broken), Buffer.from('no size\r\n')]), /^order-4711/],
    ] as const) {
      const connection = await openConnection(broker.url);
      connection.write(bytes);
      expect((await connection.reply()).headers['x-request-id']).to.match(id);
      connection.destroy();
    }
  });

  it('is not generated for a request that succeeds', async () =>
    expect(await idOf(sendRequest(100, 5))).to.equal(null));

  for (const [what, given] of Object.entries({
    'too long': 'x'.repeat(129),
    'with a blank': 'a b',
    'with a quote': 'a"b',
    'with markup': '<b>',
    'that is not ASCII': 'é',
    empty: '',
    'with an escape': 'a\\u0041',
    'that came twice': 'a, b',
  }))
    it(`is not returned if it is one ${what}`, async () => {
      expect(await idOf(sendRequest(100, 6), given), '200').to.equal(null);
      expect(await idOf(recvRequest(101), given), '404').to.match(MADE);
    });

  it('may be as long as 128 characters', async () =>
    expect(await idOf(sendRequest(100, 7), 'x'.repeat(128))).to.equal('x'.repeat(128)));
});
