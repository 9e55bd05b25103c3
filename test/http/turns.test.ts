// One client asks for as much as it may, beside another: nobody is refused for it, and Redis does a little at a time for each.
import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import type { Store } from '../support/store.js';
import { until } from '../../harness/until.js';

const QUEUES = 100;
const MESSAGES = 1_000;
/** In the tests' own words: what one script call deals with. */
const SLICE = 64;
const VICTIM = 5_000;

interface Answer {
  code: number;
  messages?: { id: number }[];
  count?: number;
  freed?: number;
  error?: { reason: string; outcome?: string };
}

const addresses = Array.from({ length: QUEUES }, (_, i) => 1_000 + i);
const ids = Array.from({ length: MESSAGES }, (_, id) => id);
const all = (msgType: number, fields: object): object[] =>
  addresses.map((saddr) => ({ msg_type: msgType, saddr, daddr: 5_000, ...fields }));
const RECV = all(3, { max: MESSAGES, visibility_timeout_ms: 3_600_000 });
const FREE = all(5, { ids });
const PEEK = all(19, { state: 'waiting', max: MESSAGES });
const DROP = all(23, { state: 'waiting' });
const DROP_NONE = all(23, { state: 'waiting', ids: [999_999] });

describe('http: heavy requests take turns', function () {
  this.timeout(180_000);
  let server: TestServer;
  let broker: TestBroker;
  let store: Store;
  let keys: KeysFile;
  let attacker: Record<string, string>;
  let victim: Record<string, string>;
  before(async () => {
    keys = keysFile();
    attacker = bearer(keys.add(ALL, { name: 'attacker' }));
    victim = bearer(keys.add(ALL, { name: 'victim' }));
    server = await startRedisServer({ args: ['--appendonly', 'no', '--slowlog-log-slower-than', '10000'] });
    broker = await startBroker({ ...keys.env, AIZUMI_REDIS_URL: server.url, AIZUMI_MAX_BODY_BYTES: '10000000' });
    store = openStore(broker.config);
  });
  after(async () => {
    await broker.stop();
    store.close();
    keys.delete();
    await server.stop();
  });

  /** A thousand in a call: Redis is not to be kept from answering the broker. */
  async function fill(address: number, count: number, ttlMs = ''): Promise<void> {
    const lua = `redis.pcall('XGROUP', 'CREATE', KEYS[1], 'receivers', 0, 'MKSTREAM')
      for i = 0, 999 do
        local fields = { 'saddr', 1, 'id', i, 'payload', '"' .. string.rep('x', 98) .. '"' }
        if ARGV[1] ~= '' then fields[7], fields[8] = 'ttl', ARGV[1] end
        redis.call('XADD', KEYS[1], '*', unpack(fields))
      end`;
    for (let i = 0; i < count; i += 1_000) await store.raw.eval(lua, 1, store.key(`{${address}}:queue`), ttlMs);
  }

  /** SEND, RECV, FREE, one after another, until `end` is settled; every one must be done. @returns how many */
  async function serveVictim(end: Promise<unknown>): Promise<number> {
    const attack = { isOver: false };
    void end.finally(() => (attack.isOver = true));
    let id = 0;
    for (; !attack.isOver || id < 3; id++)
      for (const request of [sendRequest(VICTIM, id), recvRequest(VICTIM), freeRequest(VICTIM, id)]) {
        const { status, text } = await broker.post(request, victim);
        expect(status, text).to.equal(200);
      }
    return id;
  }

  async function ask(requests: object[]): Promise<Answer[]> {
    return JSON.parse((await broker.post(requests, attacker)).text) as Answer[];
  }

  /** What the attacker is answered, the scripts that it took, and the longest that Redis tells of. */
  async function attack(what: string, act: () => Promise<Answer[]>): Promise<{ answers: Answer[]; scripts: number }> {
    await store.raw.config('RESETSTAT');
    await store.raw.call('SLOWLOG', 'RESET');
    const attacked = act();
    const served = await serveVictim(attacked.catch(() => undefined));
    const answers = await attacked;
    const stats = await store.raw.info('commandstats');
    const scripts = [...stats.matchAll(/cmdstat_eval\w*:calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
    const slow = (await store.raw.call('SLOWLOG', 'GET', '-1')) as [number, number, number][];
    const longest = Math.max(0, ...slow.map(([, , us]) => us)) / 1_000;
    console.log(
      `      ${what}: ${scripts} scripts, ${slow.length} over 10 ms, the longest ${longest} ms; the victim ${served} rounds`,
    );
    // what its share does not get in time, or has no room in the reply, was not done; and is not held then
    for (const { code, error } of answers)
      if (code === 503) expect(error, what).to.include({ reason: 'overloaded', outcome: 'not_done' });
      else if (!what.startsWith('FREE') || code !== 404) expect(code, what).to.equal(200);
    return { answers, scripts: scripts - 2 * served };
  }
  const atLeast = (messages: number): number => Math.floor(messages / SLICE);
  const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);

  beforeEach(async () => {
    await store.raw.flushall();
    for (const address of addresses) await fill(address, MESSAGES);
  });

  it('RECV max 1000 of 100 queues in one body, then FREE of all', async () => {
    const received = await attack('RECV', () => ask(RECV));
    const taken = sum(received.answers.map(({ messages }) => messages?.length ?? 0));
    expect(taken).to.be.above(0);
    expect(received.scripts).to.be.at.least(atLeast(taken));
    for (const { messages } of received.answers)
      if (messages) expect(messages.map(({ id }) => id)).to.deep.equal(ids.slice(0, messages.length));
    const freed = await attack('FREE', () => ask(FREE));
    const count = sum(freed.answers.map((answer) => answer.freed ?? 0));
    expect(count).to.be.above(0);
    expect(freed.scripts).to.be.at.least(atLeast(count));
  });

  it('PEEK and DROP, with ids that are not there, and then of all', async () => {
    expect((await attack('PEEK', () => ask(PEEK))).scripts).to.be.at.least(atLeast(MESSAGES));
    const looked = await attack('DROP of none', () => ask(DROP_NONE.slice(0, 20)));
    for (const { count } of looked.answers) expect(count ?? 0).to.equal(0);
    const dropped = await attack('DROP', () => ask(DROP));
    const count = sum(dropped.answers.map((answer) => answer.count ?? 0));
    expect(dropped.scripts).to.be.at.least(2 * atLeast(count));
  });

  it('single requests on 32 connections at once', async () => {
    const one = async (requests: object[]): Promise<Answer[]> => {
      const answers: Reply[] = [];
      for (const request of requests) answers.push(await broker.post(request, attacker));
      return answers.map(({ text }) => JSON.parse(text) as Answer);
    };
    const each = Array.from({ length: 32 }, (_, i) => RECV.filter((_request, j) => j % 32 === i));
    await attack('RECV on 32', async () => (await Promise.all(each.map(one))).flat());
    const frees = Array.from({ length: 32 }, (_, i) => FREE.filter((_request, j) => j % 32 === i));
    await attack('FREE on 32', async () => (await Promise.all(frees.map(one))).flat());
  });

  it('what a client has left is given up, and what it was not told goes back as never delivered', async () => {
    const body = JSON.stringify(RECV);
    for (let i = 0; i < 3; i++) {
      const connection = await openConnection(broker.url);
      connection.write(httpRequest(body, { headers: { authorization: attacker.authorization! } }));
      await until('it has begun', async () => (await store.raw.exists(store.key('{1000}:held'))) > 0, 60_000);
      connection.destroy();
      await until(
        'all is back',
        async () => {
          const held = await Promise.all(addresses.map((address) => store.raw.zcard(store.key(`{${address}}:held`))));
          return sum(held) === 0;
        },
        60_000,
      );
    }
    const [answer] = await ask([{ ...RECV[0], details: true }]);
    const deliveries = answer!.messages as unknown as { id: number; delivery: { attempt: number } }[];
    expect(deliveries.map(({ id }) => id)).to.deep.equal(ids);
    expect(new Set(deliveries.map(({ delivery }) => delivery.attempt))).to.deep.equal(new Set([1]));
  });

  for (const wait of [0, 1])
    it(`RECV behind 150,000 that have expired never says that there is none, wait_ms ${wait}`, async () => {
      await fill(999, 150_000, '1');
      await store.raw.xadd(store.key('{999}:queue'), '*', 'saddr', 1, 'id', 7, 'payload', '"alive"');
      let reply: Reply;
      do {
        reply = await broker.post({ ...recvRequest(999), wait_ms: wait }, attacker);
        expect(reply.status, reply.text).to.be.oneOf([200, 503]);
        if (reply.status === 503) expect(reply.json.error).to.include({ reason: 'overloaded', outcome: 'not_done' });
      } while (reply.status !== 200);
      expect(reply.json).to.include({ id: 7, payload: 'alive' });
    });
});
