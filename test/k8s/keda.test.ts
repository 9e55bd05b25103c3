// The replies that KEDA's metrics-api scaler gets from GET /queues/:address, in each possible state of a queue. The scaler
// (pkg/scalers/metrics_api_scaler.go in kedacore/keda, v2.9 to 8b4f083) GETs the URL with a bearer token, treats any status
// but 200 as a failure, and requires a JSON number at `valueLocation`. After `failureThreshold` failures KEDA falls back.
import { expect } from 'chai';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { freeRequest, gbyeRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';
import { ofKind, render } from './render.js';
import type { Doc } from './render.js';

describe('KEDA’s scaler', function () {
  this.timeout(60_000);
  let trigger: Doc;
  let redis: TestServer;
  let keys: KeysFile;
  let broker: TestBroker;
  let all: string;
  let looker: string;
  let receiver: string;

  before(async () => {
    const [scaledObject] = ofKind(await render('production-keda'), 'ScaledObject') as [Doc];
    trigger = scaledObject.spec.triggers[0] as Doc;
  });
  beforeEach(async () => {
    redis = await startRedisServer();
    keys = keysFile();
    all = keys.add(ALL);
    looker = keys.add({ look: [100] });
    receiver = keys.add({ receive: [100], look: [101] });
    broker = await startBroker({ AIZUMI_REDIS_URL: redis.url, ...keys.env });
  });
  afterEach(async () => {
    await broker.stop();
    await redis.stop();
    keys.delete();
  });

  /** Sends the request of the scaler. @throws Error if the scaler would count a failure */
  async function scalerValue(token: string | undefined): Promise<number> {
    const { url, valueLocation } = trigger.metadata as { url: string; valueLocation: string };
    const response = await fetch(new URL(new URL(url).pathname, broker.url), {
      headers: token === undefined ? {} : bearer(token),
    });
    if (response.status !== 200) throw new Error(`api returned ${response.status}`);
    let value: unknown = await response.json();
    for (const name of valueLocation.split('.')) value = (value as Doc)[name];
    if (typeof value !== 'number') throw new Error(`valueLocation must point to a numeric value, got ${typeof value}`);
    return value;
  }
  const failure = (token?: string): Promise<string> =>
    scalerValue(token).then(
      (value) => `no failure: ${value}`,
      (error: unknown) => (error as Error).message,
    );
  async function post(request: object): Promise<void> {
    expect((await broker.post(request, bearer(all))).status).to.equal(200);
  }

  it('gets the number of waiting messages, 0 before the first and after the last', async () => {
    expect(await scalerValue(looker)).to.equal(0);
    for (const id of [1, 2, 3]) await post(sendRequest(100, id));
    expect(await scalerValue(looker)).to.equal(3);
    await post(recvRequest(100));
    expect(await scalerValue(looker)).to.equal(2);
    await post(freeRequest(100, 1));
    for (const id of [2, 3]) {
      await post(recvRequest(100));
      await post(freeRequest(100, id));
    }
    expect(await scalerValue(looker)).to.equal(0);
    await post(gbyeRequest(100));
    expect(await scalerValue(looker)).to.equal(0);
  });

  it('fails without a key, with an unknown key, and with one that may not read the queue', async () => {
    expect(await failure(receiver)).to.equal('api returned 403');
    expect(await failure()).to.equal('api returned 401');
    expect(await failure('aizumi_of_nobody')).to.equal('api returned 401');
  });

  it('fails while Redis is unreachable, and gets the number again afterwards', async () => {
    await post(sendRequest(100, 1));
    await redis.kill9();
    expect(await failure(all)).to.equal('api returned 503');
    await redis.restart();
    await until('it gets the number again', async () => (await failure(all)) === 'no failure: 1', 10_000);
  });
});
