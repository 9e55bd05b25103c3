import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import { until } from '../../harness/until.js';

interface Listed {
  queues: { address: number }[];
  cursor: string | null;
}

describe('http: GET /queues', () => {
  let broker: TestBroker;
  before(async () => {
    broker = await startBroker();
    for (const address of [7, 42, 420, 421, 5]) await broker.post(heloRequest(address));
    for (const id of [1, 2, 3]) await broker.post(sendRequest(42, id));
    await broker.post(recvRequest(42));
  });
  after(() => broker.stop());

  const get = (path: string, method = 'GET'): Promise<Response> => fetch(`${broker.url}${path}`, { method });
  const listed = async (query: string): Promise<Listed> => (await (await get(`queues${query}`)).json()) as Listed;
  const failed = async (path: string): Promise<unknown> => {
    const response = await get(path);
    const { code, error } = (await response.json()) as { code: number; error: { reason: string; details: unknown[] } };
    expect(response.status).to.equal(code);
    return [code, error.reason, error.details.length];
  };

  it('shows one queue', async () => {
    const response = await get('queues/42');
    expect(response.status).to.equal(200);
    expect(response.headers.get('content-type')).to.equal('application/json; charset=utf-8');
    const text = (await response.text()).replace(/"(oldest_ms|bytes)":\d+/g, '"$1":…');
    expect(text).to.equal(
      '{"code":200,"status":"OK","queue":{"address":42,"waiting":2,"leased":1,"delayed":0,"dead":0,"expired":0,' +
        '"oldest_ms":…,"bytes":…,"settings":{},"rates":{"send":null,"receive":null,"free":null,"over_ms":null}}}',
    );
  });

  it('shows zeros for an address without a queue, and creates none', async () => {
    const response = await get('queues/43');
    expect(response.status).to.equal(200);
    expect(await response.text()).to.equal(
      '{"code":200,"status":"OK","queue":{"address":43,"waiting":0,"leased":0,"delayed":0,"dead":0,"expired":0,' +
        '"oldest_ms":0,"bytes":0,"settings":{},"rates":{"send":null,"receive":null,"free":null,"over_ms":null}}}',
    );
    expect((await listed('?prefix=43')).queues).to.deep.equal([]);
    const { json } = await broker.post(statRequest(43));
    expect((json.payload as { queue: unknown }).queue).to.equal(null);
    const store = openStore(broker.config);
    expect(await store.raw.keys(store.key('*43*')).finally(() => store.close())).to.deep.equal([]);
  });

  it('lists all queues by address, a page at a time', async () => {
    const first = await listed('?limit=3');
    expect(first.queues.map(({ address }) => address)).to.deep.equal([5, 7, 42]);
    const second = await listed(`?limit=3&cursor=${first.cursor}`);
    expect(second.queues.map(({ address }) => address)).to.deep.equal([420, 421]);
    expect(second.cursor).to.equal(null);
  });

  it('lists the queues whose address has a prefix', async () => {
    expect((await listed('?prefix=42')).queues.map(({ address }) => address)).to.deep.equal([42, 420, 421]);
    expect((await listed('?prefix=9')).queues).to.deep.equal([]);
  });

  it('answers HEAD', async () => {
    for (const path of ['queues', 'queues/42']) {
      const response = await get(path, 'HEAD');
      expect(response.status).to.equal(200);
      expect(Number(response.headers.get('content-length'))).to.be.above(50);
      expect(await response.text()).to.equal('');
    }
  });

  it('lists a queue that was lost from the register again within a minute', async function () {
    this.timeout(60_000);
    const store = openStore(broker.config);
    await store.raw.zrem(store.key('queues'), 7, 42).finally(() => store.close());
    const isListed = async (): Promise<boolean> =>
      (await listed('')).queues.map(({ address }) => address).join() === '5,7,42,420,421';
    expect(await isListed()).to.equal(false);
    await until('both queues are listed', isListed, 55_000);
  });

  it('reports faults in the format of every error', async () => {
    for (const address of ['x', '01', '4294967296', '-1', '1.5'])
      expect(await failed(`queues/${address}`), address).to.deep.equal([400, 'invalid_request', 1]);
    expect(await failed('queues?limit=0&cursor=-1&prefix=01&sort=1')).to.deep.equal([400, 'invalid_request', 4]);
    expect(await failed('queues?limit=1001')).to.deep.equal([400, 'invalid_request', 1]);
    expect(await failed('queues?limit=1&limit=2')).to.deep.equal([400, 'invalid_request', 1]);
    expect(await failed('queues/42/')).to.deep.equal([404, 'not_found', 0]);
  });

  for (const cursor of [
    '-1',
    '01',
    '1.5',
    '1e3',
    '0x1',
    '10000000000', // 4294967296 and others of ten digits: behind the last address, an empty page
    '9'.repeat(400),
    '%2042',
    '42%00',
    'x',
    '\u0661',
  ])
    it(`refuses an invalid cursor: ${cursor.slice(0, 20)}`, async () =>
      expect(await failed(`queues?cursor=${cursor}`)).to.deep.equal([400, 'invalid_request', 1]));

  it('refuses other methods', async () => {
    for (const path of ['queues', 'queues/42']) {
      const response = await get(path, 'DELETE');
      expect(response.status).to.equal(405);
      expect(response.headers.get('allow')).to.equal('HEAD, GET');
    }
  });
});
