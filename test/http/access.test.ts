// Authentication and permissions over HTTP.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { ACTIONS } from '../../src/access/permissions.js';
import type { Action, Grants } from '../../src/access/permissions.js';
import type { RequestName } from '../../src/messages/message-type.js';
import { MESSAGE_TYPES } from '../../src/messages/table.js';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { openClient } from '../../harness/keep-alive-client.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { heloRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

/** The permissions of each request, as in docs/security.md, which a test compares with the table of message types. */
const NEEDS: Readonly<Record<RequestName, readonly Action[]>> = {
  MSG_SEND_REQ: ['send', 'to'],
  MSG_RECV_REQ: ['receive'],
  MSG_FREE_REQ: ['receive'],
  MSG_PUSH_REQ: [],
  MSG_PUSH_ACK: [],
  MSG_HELO_REQ: ['receive'],
  MSG_STAT_REQ: ['receive'], // or look, tested below
  MSG_GBYE_REQ: ['receive'],
  MSG_KEEP_REQ: ['receive'],
  MSG_BACK_REQ: ['receive'],
  MSG_PEEK_REQ: ['look'],
  MSG_MOVE_REQ: ['administer'],
  MSG_DROP_REQ: ['administer'],
};
/** Required fields of a type besides the five common ones. */
const MORE: Readonly<Partial<Record<RequestName, object>>> = {
  MSG_KEEP_REQ: { visibility_timeout_ms: 1_000 },
  MSG_PEEK_REQ: { state: 'waiting' },
  MSG_DROP_REQ: { state: 'waiting' },
};
const requestOf = (name: RequestName): object => ({
  ...sendRequest(200, 1, 'hello', 100),
  ...MORE[name],
  msg_type: name,
});

/** All permissions, except that this action is limited to `list` and no other permission stands in for it. */
const allBut = (action: Action, list: (number | string)[]): Grants => ({
  ...ALL,
  ...(action === 'look' && { administer: [] }),
  ...(action === 'receive' && { look: [], administer: [] }),
  [action]: list,
});

const reasonOf = ({ json }: Reply): unknown => (json.error as { reason: string } | undefined)?.reason;

describe('http: access', () => {
  let file: KeysFile;
  let broker: TestBroker;

  async function start(env: Record<string, string> = {}): Promise<void> {
    broker = await startBroker({ ...file.env, ...env });
  }
  const ask = (key: string, request: object): Promise<Reply> => broker.post(request, bearer(key));
  const get = async (path: string, key?: string) => {
    const response = await fetch(broker.url + path, { headers: key === undefined ? {} : bearer(key) });
    return { status: response.status, json: (await response.json()) as Record<string, any> };
  };

  beforeEach(() => (file = keysFile()));
  afterEach(async () => {
    await broker.stop();
    file.delete();
  });

  describe('a request without valid credentials', () => {
    const cases: Record<string, [authorization: string | undefined, message: string]> = {
      'no credentials': [undefined, 'send Authorization: Bearer with an API key'],
      'an empty header': ['', 'Authorization must be Bearer and an API key'],
      'another scheme': ['Basic YTpi', 'Authorization must be Bearer and an API key'],
      'the scheme alone': ['Bearer ', 'Authorization must be Bearer and an API key'],
      'two keys': ['Bearer a b', 'Authorization must be Bearer and an API key'],
      'an unknown key': ['Bearer aizumi_x', 'this key is not known: it may have been withdrawn'],
      'a token where tokens are not configured': ['Bearer a.b.c', 'this key is not known: it may have been withdrawn'],
      'an expired key': ['expired', 'this key expired at 2020-01-31T00:00:00.000Z: ask for a new one'],
    };
    for (const [what, [authorization, message]] of Object.entries(cases))
      it(`is answered 401: ${what}`, async () => {
        const expired = file.add(ALL, { expires: '2020-01-31' });
        await start();
        const value = authorization === 'expired' ? `Bearer ${expired}` : authorization;
        const connection = await openConnection(broker.url);
        // the second request shows that the connection is still usable
        for (const _ of [1, 2]) {
          connection.write(httpRequest(JSON.stringify(heloRequest(100)), { headers: { Authorization: value } }));
          const { status, headers, text } = await connection.reply();
          expect(status).to.equal(401);
          expect(headers['www-authenticate']).to.equal('Bearer');
          expect(JSON.parse(text)).to.deep.equal({
            code: 401,
            status: 'Unauthorized',
            error: { reason: 'unauthenticated', message, details: [] },
          });
        }
        connection.destroy();
      });

    it('is answered before its body is read', async () => {
      await start();
      const connection = await openConnection(broker.url);
      const head = { headers: { 'Content-Length': '1000000', 'Content-Type': 'application/pdf' } };
      connection.write(httpRequest('', head));
      expect((await connection.reply()).status).to.equal(401);
      connection.destroy();
    });

    it('is answered with a single 401 if it is a batch, of which nothing is done', async () => {
      const key = file.add(ALL);
      await start();
      const batch = [sendRequest(100, 1), sendRequest(100, 2)];
      const { status, json } = await broker.post(batch, bearer(`${key}x`));
      expect([status, json.code]).to.deep.equal([401, 401]);
      expect((await ask(key, recvRequest(100))).status).to.equal(404);
    });

    it('reads no queue, but may call the probes', async () => {
      await start();
      for (const path of ['queues', 'queues/100']) expect((await get(path)).status, path).to.equal(401);
      for (const path of ['livez', 'readyz']) expect((await get(path)).status, path).to.equal(200);
    });

    it('is not one that writes the scheme in other letter case', async () => {
      const key = file.add(ALL);
      await start();
      for (const scheme of ['bearer', 'BEARER', 'Bearer '])
        expect((await broker.post(heloRequest(1), { authorization: `${scheme} ${key}` })).status).to.equal(200);
    });
  });

  describe('each request', () => {
    for (const { request: name, reply } of MESSAGE_TYPES) {
      const needs = NEEDS[name];
      it(`${name} needs ${needs.length ? `the permission ${needs.join(' and ')}` : 'no permission'}, and no other`, async () => {
        const only = file.add(
          Object.fromEntries(ACTIONS.map((action) => [action, needs.includes(action) ? ['*'] : []])),
        );
        const without = ACTIONS.map(
          (action) =>
            [action, file.add(needs.includes(action) ? allBut(action, []) : { ...ALL, [action]: [] })] as const,
        );
        await start();
        const allowed = await ask(only, requestOf(name));
        expect(allowed.status, 'with the required permissions').to.be.oneOf([200, 404, 501]);
        for (const [action, key] of without) {
          const answer = await ask(key, requestOf(name));
          if (!needs.includes(action)) expect(answer.status, `without ${action}`).to.equal(allowed.status);
          else {
            const { status, json } = answer;
            expect([status, reasonOf(answer), json.msg_type], `without ${action}`).to.deep.equal([
              403,
              'forbidden',
              reply,
            ]);
          }
        }
      });

      for (const action of needs)
        it(`${name} needs the permission ${action} for exactly its address`, async () => {
          const address = action === 'to' ? 200 : 100;
          const near = file.add(allBut(action, [address - 1, `${address + 1}-4294967295`]));
          const exact = file.add({ ...ALL, [action]: [address] });
          await start();
          expect((await ask(near, requestOf(name))).status).to.equal(403);
          expect((await ask(exact, requestOf(name))).status).not.to.equal(403);
        });
    }

    it('that is refused names the missing permission', async () => {
      const key = file.add({ send: [100] });
      await start();
      const { text } = await ask(key, requestOf('MSG_RECV_REQ'));
      const message =
        'MSG_RECV_REQ needs the permission receive for the address 100, which your credentials do not give';
      expect(JSON.parse(text)).to.deep.equal({
        code: 403,
        status: 'Forbidden',
        msg_type: 'MSG_RECV_ACK',
        error: { reason: 'forbidden', message, details: [{ field: 'saddr', message }] },
      });
    });

    it('of a batch is allowed or refused on its own', async () => {
      const key = file.add({ send: ['*'], to: ['100-199'], receive: [150] });
      await start();
      const batch = [sendRequest(100, 1), sendRequest(200, 2), statRequest(150), statRequest(151)];
      const { status, text } = await ask(key, batch);
      expect(status).to.equal(207);
      expect((JSON.parse(text) as { code: number }[]).map(({ code }) => code)).to.deep.equal([200, 403, 200, 403]);
    });
  });

  describe('the permission look', () => {
    const LOOKS = [statRequest(100), requestOf('MSG_PEEK_REQ')];
    const [receiver, administrator, looker] = [{ receive: [100] }, { administer: [100] }, { look: [100] }];

    it('lets a key read the state and the messages of a queue, and change nothing', async () => {
      const [key, all] = [file.add(looker), file.add(ALL)];
      await start();
      await ask(all, sendRequest(100, 1));
      for (const request of LOOKS) expect((await ask(key, request)).status).to.equal(200);
      for (const path of ['queues', 'queues/100']) expect((await get(path, key)).status, path).to.equal(200);
      for (const { request } of MESSAGE_TYPES.filter(({ needs }) => needs.saddr))
        if (!['MSG_STAT_REQ', 'MSG_PEEK_REQ'].includes(request))
          expect((await ask(key, requestOf(request))).status, request).to.equal(403);
      for (const request of [statRequest(101), { ...requestOf('MSG_PEEK_REQ'), saddr: 101 }])
        expect((await ask(key, request)).status).to.equal(403);
      expect((await get('queues/101', key)).status).to.equal(403);
    });

    it('is included in administer; receive includes only STAT', async () => {
      const [one, other] = [file.add(administrator), file.add(receiver)];
      await start();
      for (const request of LOOKS) expect((await ask(one, request)).status).to.equal(200);
      expect((await get('queues/100', one)).status).to.equal(200);
      expect((await ask(other, statRequest(100))).status).to.equal(200);
      expect((await ask(other, requestOf('MSG_PEEK_REQ'))).status).to.equal(403);
      expect((await get('queues/100', other)).status).to.equal(403);
    });

    it('is named in the refusal of STAT, as one of the two permissions that allow it', async () => {
      const key = file.add({ send: ['*'] });
      await start();
      expect((await ask(key, statRequest(100))).text).to.include(
        'needs the permission receive or look for the address 100',
      );
    });

    it('is checked before the parameters of GET /queues', async () => {
      const key = file.add({ send: ['*'] });
      await start();
      expect((await get('queues?limit=x&other=1', key)).status).to.equal(403);
    });
  });

  describe('GET /queues', () => {
    it('lists the queues that the key may read, a page at a time', async () => {
      const all = file.add(ALL);
      const some = file.add({ look: ['100-199'], administer: [300] });
      const none = file.add(allBut('look', []));
      await start();
      for (const address of [99, 100, 150, 200, 300]) await ask(all, heloRequest(address));
      const addresses = async (key: string, query = ''): Promise<unknown> =>
        (await get(`queues${query}`, key)).json.queues.map(({ address }: { address: number }) => address);
      expect(await addresses(all)).to.deep.equal([99, 100, 150, 200, 300]);
      expect(await addresses(some)).to.deep.equal([100, 150, 300]);
      expect(await addresses(some, '?limit=1&cursor=100')).to.deep.equal([150]);
      expect(await addresses(some, '?prefix=3')).to.deep.equal([300]);
      expect((await get('queues', none)).status).to.equal(403);
    });

    it('shows a queue that the key may read, and does not reveal whether others exist', async () => {
      const key = file.add({ look: [100], receive: ['*'] });
      await start();
      for (const address of [100, 101]) await ask(key, heloRequest(address));
      expect((await get('queues/100', key)).status).to.equal(200);
      expect([(await get('queues/101', key)).status, (await get('queues/102', key)).status]).to.deep.equal([403, 403]);
    });
  });

  it('a refusal needs no Redis: it is the same while Redis is unreachable', async () => {
    const redis = await startRedisServer();
    const [good, poor] = [file.add(ALL), file.add({})];
    await start({ AIZUMI_REDIS_URL: redis.url });
    await redis.kill9();
    await until('the broker reports Redis as unreachable', async () => !(await fetch(`${broker.url}readyz`)).ok);
    for (const { request: name } of MESSAGE_TYPES.filter(({ request }) => NEEDS[request].length > 0)) {
      expect((await broker.post(requestOf(name))).status, name).to.equal(401);
      expect((await ask(poor, requestOf(name))).status, name).to.equal(403);
      expect((await ask(good, requestOf(name))).status, name).to.equal(503);
    }
    for (const path of ['queues', 'queues/100']) {
      const statuses = [await get(path), await get(path, poor), await get(path, good)].map(({ status }) => status);
      expect(statuses, path).to.deep.equal([401, 403, 503]);
    }
    await redis.stop();
  });

  it('a refusal sends no command to Redis', async () => {
    const redis = await startRedisServer();
    const [good, poor] = [file.add(ALL), file.add({})];
    await start({ AIZUMI_REDIS_URL: redis.url });
    const raw = new Redis(redis.url);
    const monitor = await raw.monitor();
    try {
      const heard: string[] = [];
      monitor.on('monitor', (_: string, args: string[]) => heard.push(args.join(' ')));
      for (const { request } of MESSAGE_TYPES) {
        await broker.post(requestOf(request));
        await ask(poor, requestOf(request));
      }
      await ask(
        poor,
        MESSAGE_TYPES.map(({ request }) => requestOf(request)),
      );
      for (const path of ['queues', 'queues/100']) await get(path, poor);
      await ask(good, sendRequest(777, 1));
      await until('the allowed request reaches Redis', () => heard.some((command) => command.includes('777')));
      const ofQueues = heard.filter((command) => command.includes(`${broker.config.keyPrefix}:`));
      expect(ofQueues.filter((command) => !/777|followed|:made key/.test(command))).to.deep.equal([]);
    } finally {
      monitor.disconnect();
      raw.disconnect();
      await redis.stop();
    }
  });

  describe('a changed keys file', () => {
    it('admits new keys and refuses removed ones, on open connections too', async () => {
      const old = file.add(ALL);
      await start();
      const client = openClient(broker.url, 5_000);
      const status = async (key: string): Promise<number> => {
        const outcome = await client.post(heloRequest(100), bearer(key));
        if (outcome.kind !== 'replied') throw new Error(outcome.kind);
        return outcome.status;
      };
      expect(await status(old)).to.equal(200);
      const next = file.add(ALL);
      await until('the new key is accepted', async () => (await status(next)) === 200);
      expect(await status(old), 'both, while clients change over').to.equal(200);
      file.remove(old);
      await until('the old key is refused', async () => (await status(old)) === 401);
      expect(await status(next)).to.equal(200);
      client.close();
    });

    it('is ignored while it is malformed or missing', async () => {
      const key = file.add(ALL);
      await start();
      const other = file.add(ALL);
      await until('the change takes effect', async () => (await ask(other, heloRequest(1))).status === 200);
      for (const make of [() => file.write('keys: ['), () => rmSync(file.path)]) {
        make();
        // longer than a valid change takes
        await pause(2_500);
        expect((await ask(key, heloRequest(1))).status).to.equal(200);
      }
      const last = file.add(ALL);
      await until('a valid file is loaded again', async () => (await ask(last, heloRequest(1))).status === 200);
    });

    it('is noticed when Kubernetes swaps the symbolic link that leads to it', async () => {
      const [first, second] = [file.add(ALL), file.add(ALL)];
      const [one, two] = file.entries();
      for (const [name, entry] of [
        ['..1', one],
        ['..2', two],
      ] as const) {
        mkdirSync(join(file.folder, name));
        writeFileSync(join(file.folder, name, 'keys.yaml'), JSON.stringify({ keys: [entry] }));
      }
      const at = (name: string): string => join(file.folder, name);
      symlinkSync('..1', at('..data'));
      rmSync(file.path);
      symlinkSync('..data/keys.yaml', file.path);
      await start();
      expect((await ask(first, heloRequest(1))).status).to.equal(200);
      expect((await ask(second, heloRequest(1))).status).to.equal(401);
      symlinkSync('..2', at('..new'));
      renameSync(at('..new'), at('..data'));
      await until('the new link is read', async () => (await ask(second, heloRequest(1))).status === 200);
      expect((await ask(first, heloRequest(1))).status).to.equal(401);
    });
  });

  it('an expired key is refused, on an open connection too', async () => {
    const key = file.add(ALL, { expires: new Date(Date.now() + 1_500).toISOString() });
    await start();
    const client = openClient(broker.url, 5_000);
    const statuses = new Set<unknown>();
    await until('the key has expired', async () => {
      const outcome = await client.post(heloRequest(100), bearer(key));
      if (outcome.kind === 'replied') statuses.add(outcome.status);
      return statuses.has(401);
    });
    expect([...statuses]).to.deep.equal([200, 401]);
    client.close();
  });
});
