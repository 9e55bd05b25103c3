// The audit log: who changed or deleted what, and who was refused.
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { loadConfig } from '../../src/config/config.js';
import { createLog } from '../../src/log/log.js';
import { startWorker } from '../../src/worker.js';
import type { Worker } from '../../src/worker.js';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { post } from '../../harness/broker.js';
import type { Reply } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { gbyeRequest, heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

type Line = Record<string, unknown> & { msg: string };

const SECRET = 'this is nobody’s business';
const ID = 'the-client-s-own';
const dropRequest = (saddr: number): object => ({ msg_type: 'MSG_DROP_REQ', saddr, daddr: 5000, state: 'waiting' });
const moveRequest = (saddr: number): object => ({ msg_type: 'MSG_MOVE_REQ', saddr, daddr: 5000 });

describe('http: the audit log', function () {
  this.timeout(30_000);
  let file: KeysFile;
  let worker: Worker;
  let url: string;
  let key: string;
  let poor: string;
  let text: string;

  async function start(env: Record<string, string>): Promise<void> {
    const config = loadConfig({
      AIZUMI_PORT: '0',
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
      ...env,
    });
    worker = await startWorker(
      config,
      config.redisUrl!,
      Date.now(),
      createLog('info', { write: (line) => void (text += line) }),
    );
    url = `http://127.0.0.1:${worker.port}/`;
  }
  /** Lines of the audit log, without the fields that pino adds. */
  const lines = (): Line[] =>
    text
      .split('\n')
      .filter((line) => line.includes('"audit: '))
      .map((line) => {
        const { level, time: _time, pid: _pid, ...rest } = JSON.parse(line) as Line;
        expect(level).to.equal(30);
        return rest;
      });
  const ask = (request: unknown, credential = key, headers: Record<string, string> = {}): Promise<Reply> =>
    post(url, request, { ...bearer(credential), ...headers });

  beforeEach(async () => {
    text = '';
    file = keysFile();
    key = file.add(ALL, { name: 'billing' });
    poor = file.add({ send: [1] }, { name: 'poor' });
    await start(file.env);
  });
  afterEach(async () => {
    await worker.stop();
    file.delete();
  });

  const by = { who: 'billing', from: '127.0.0.1', requestId: ID };

  it('has a line for each MOVE, DROP and HELO with settings', async () => {
    const settings = { max_deliveries: 1, visibility_timeout_ms: 0 };
    for (const id of [1, 2]) await ask(sendRequest(100, id, SECRET));
    const headers = { 'x-request-id': ID };
    await ask({ ...heloRequest(100), settings }, key, headers);
    for (let i = 0; i < 4; i++) await ask(recvRequest(100));
    await ask(moveRequest(100), key, headers);
    await ask(dropRequest(100), key, headers);
    await ask(dropRequest(101), key, headers);
    expect(lines()).to.deep.equal([
      { ...by, request: 'MSG_HELO_REQ', address: 100, settings, count: 2, msg: 'audit: done' },
      { ...by, request: 'MSG_MOVE_REQ', address: 100, count: 2, msg: 'audit: done' },
      { ...by, request: 'MSG_DROP_REQ', address: 100, count: 2, msg: 'audit: done' },
      { ...by, request: 'MSG_DROP_REQ', address: 101, count: 0, msg: 'audit: done' },
    ]);
    expect(text).not.to.include(SECRET);
  });

  it('has a line for a GBYE that returned messages, and none for one that did not', async () => {
    for (const id of [1, 2, 3]) await ask(sendRequest(100, id));
    await ask(gbyeRequest(100));
    await ask({ ...recvRequest(100), max: 2 });
    await ask(gbyeRequest(100), key, { 'x-request-id': ID });
    await ask(gbyeRequest(100));
    expect(lines()).to.deep.equal([{ ...by, request: 'MSG_GBYE_REQ', address: 100, count: 2, msg: 'audit: done' }]);
  });

  it('has no line for ordinary traffic or for invalid requests', async () => {
    await ask(sendRequest(100, 1));
    for (const request of [
      heloRequest(100),
      recvRequest(100),
      statRequest(100),
      { ...statRequest(100), msg_type: 5, id: 1 },
    ])
      expect((await ask(request)).status).to.equal(200);
    expect((await ask({ ...dropRequest(100), wrong: 1 })).status).to.equal(400);
    expect(lines()).to.deep.equal([]);
  });

  it('generates a request id where the client sent none, and returns it in the reply', async () => {
    const { headers } = await ask(dropRequest(100));
    expect(headers.get('x-request-id')).to.match(/^[\da-f-]{36}$/);
    expect(lines().map(({ requestId }) => requestId)).to.deep.equal([headers.get('x-request-id')]);
    const refused = await ask(dropRequest(100), poor);
    expect(lines().at(-1)!.requestId).to.equal(refused.headers.get('x-request-id'));
  });

  it('has a line for each audited element of a batch, all with the same request id', async () => {
    const { headers } = await ask([dropRequest(100), statRequest(100), moveRequest(101), dropRequest(102)]);
    const some = lines();
    expect(some.map(({ request, address }) => [request, address])).to.have.deep.members([
      ['MSG_DROP_REQ', 100],
      ['MSG_MOVE_REQ', 101],
      ['MSG_DROP_REQ', 102],
    ]);
    expect([...new Set(some.map(({ requestId }) => requestId))]).to.deep.equal([headers.get('x-request-id')]);
    text = '';
    await ask([dropRequest(100), sendRequest(100, 1), statRequest(101)], poor, { 'x-request-id': ID });
    const refused = { who: 'poor', from: '127.0.0.1', requestId: ID, reason: 'forbidden', msg: 'audit: refused' };
    expect(lines()).to.deep.equal([
      { ...refused, request: 'MSG_DROP_REQ', address: 100 },
      { ...refused, request: 'MSG_STAT_REQ', address: 101 },
    ]);
  });

  it('has a line for each 401 and 403, and never contains a credential', async () => {
    const headers = { 'x-request-id': ID };
    const unknown = `${key}x`;
    await ask(sendRequest(100, 1, SECRET), unknown, headers);
    for (const path of ['queues', 'queues/100?key=x'])
      for (const credential of [unknown, poor])
        await fetch(url + path, { headers: { ...bearer(credential), ...headers } });
    const common = { from: '127.0.0.1', requestId: ID, msg: 'audit: refused' };
    const nobody = { ...common, who: '127.0.0.1', reason: 'unauthenticated' };
    const known = { ...common, who: 'poor', reason: 'forbidden' };
    expect(lines()).to.deep.equal([
      { ...nobody, request: 'POST /' },
      { ...nobody, request: 'GET /queues' },
      { ...known, request: 'GET /queues' },
      { ...nobody, request: 'GET /queues/100' },
      { ...known, request: 'GET /queues/:address', address: 100 },
    ]);
    for (const secret of [SECRET, key.slice(7), poor.slice(7)]) expect(text).not.to.include(secret);
  });

  it('summarizes very many refusals in few lines that say how many they stand for', async () => {
    const many = 400;
    for (let i = 0; i < many; i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, n) => ask(statRequest(100), `${key}${i + n}`)));
    // the refusal of another key is not lost among them
    await ask(statRequest(100), poor);
    expect(lines().filter(({ reason }) => reason === 'forbidden')).to.have.length(1);
    const guesses = (): Line[] => lines().filter(({ reason }) => reason === 'unauthenticated');
    const standsFor = (): number => guesses().reduce((sum, { repeated = 1 }) => sum + (repeated as number), 0);
    await until('all refusals are counted', () => standsFor() === many, 10_000);
    expect(guesses()).to.have.length.below(40);
  });

  it('names the IP address of the client where no credentials are required', async () => {
    await worker.stop();
    await start({});
    await post(url, dropRequest(100));
    const connection = await openConnection(url);
    connection.write(httpRequest('', { method: 'GET', path: '/queues', headers: { Host: 'evil.example' } }));
    expect((await connection.reply()).status).to.equal(403);
    connection.destroy();
    expect(lines().map(({ who, request, msg }) => [who, request, msg])).to.deep.equal([
      ['127.0.0.1', 'MSG_DROP_REQ', 'audit: done'],
      ['127.0.0.1', 'GET /queues', 'audit: refused'],
    ]);
  });
});
