// Requests about many messages: a script call deals with a slice, and what the slices do together is what the request asked for.
import { expect } from 'chai';
import { SLICE_MESSAGES } from '../../src/config/limits.js';
import type { BrokerError } from '../../src/errors.js';
import { back } from '../../src/queue/back.js';
import { drop, purge } from '../../src/queue/drop.js';
import { free, freeMany } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { giveBack } from '../../src/queue/give-back.js';
import { move } from '../../src/queue/move.js';
import { peek } from '../../src/queue/peek.js';
import type { Queues } from '../../src/queue/queues.js';
import { recv } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs, scriptCalls, take } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { until } from '../../harness/until.js';

const SLICES = Math.ceil(1_000 / SLICE_MESSAGES);
const MB = 1_000_000;
const HALF_A_DAY_MS = 43_200_000;

describe('queue: slices', () => {
  let queues: TestQueues;
  beforeEach(async () => void (queues = await openQueues()));
  afterEach(() => queues.close());
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;

  /** In one call, so that it takes no time. */
  async function fill(count: number, { first = 0, length = 1, ttlMs = '' } = {}): Promise<void> {
    const lua = `for i = 0, ARGV[1] - 1 do
      local fields = { 'saddr', 1, 'id', ARGV[2] + i, 'payload', '"' .. string.rep('x', ARGV[3]) .. '"' }
      if ARGV[4] ~= '' then fields[7], fields[8] = 'ttl', ARGV[4] end
      redis.call('XADD', KEYS[1], '*', unpack(fields))
    end`;
    await queues.raw.call('XGROUP', 'CREATE', key('queue'), 'receivers', '0', 'MKSTREAM').catch(() => undefined);
    await queues.raw.eval(lua, 1, key('queue'), count, first, length, ttlMs);
  }
  async function callsOf(act: () => Promise<unknown>): Promise<number> {
    await queues.raw.config('RESETSTAT');
    await act();
    return scriptCalls(queues);
  }
  const idsOf = (messages: readonly { id: number }[]): number[] => messages.map(({ id }) => id);
  const numbers = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i);
  const recvIds = async (max: number): Promise<number[]> => idsOf(await take(queues, 100, { max }));
  async function kill(count: number): Promise<void> {
    await fill(count);
    await queues.raw.hset(key('settings'), 'max_deliveries', 1);
    await recv(queues, 100, { max: count });
    await makeDue(queues, 'leases');
    await take(queues, 100);
  }

  describe('are as many script calls as it takes', () => {
    it('of RECV, FREE and GBYE', async () => {
      await fill(2_000);
      expect(await callsOf(() => recv(queues, 100, { max: 1_000 }))).to.equal(SLICES);
      expect(await callsOf(() => freeMany(queues, 100, numbers(1_000)))).to.equal(SLICES);
      await recv(queues, 100, { max: 1_000 });
      expect(await callsOf(() => gbye(queues, 100))).to.equal(SLICES);
    });

    it('of PEEK, DROP and MOVE', async () => {
      await kill(1_000);
      for (const state of ['dead', 'waiting'] as const) {
        expect(await callsOf(() => peek(queues, 100, state, 1_000)), `PEEK ${state}`).to.equal(SLICES);
        if (state === 'dead')
          expect(await callsOf(() => move(queues, 100, undefined, 1_000)), 'MOVE').to.equal(2 * SLICES);
      }
      expect(await callsOf(() => purge(queues, 100, 'waiting')), 'DROP').to.equal(2 * SLICES + 1);
      await fill(1_000);
      expect(await callsOf(() => drop(queues, 100, 'waiting', [5_000], 1_000)), 'DROP of none').to.equal(SLICES);
    });

    it('of messages that are given back because the reply was not written', async () => {
      await fill(1_000);
      const { messages } = await recv(queues, 100, { max: 1_000 });
      expect(await callsOf(() => giveBack(queues, 100, messages))).to.equal(SLICES);
    });

    it('of a RECV again with its attempt_id', async () => {
      await fill(1_000);
      const { messages } = await recv(queues, 100, { max: 1_000, attemptId: 'a' });
      expect(messages).to.have.length(1_000);
      const asked = async (): Promise<unknown> =>
        expect(await recv(queues, 100, { attemptId: 'a' })).to.deep.equal({ messages, againMs: undefined });
      // that of one message finds out that it has many
      expect(await callsOf(asked)).to.equal(1 + SLICES);
    });

    it('of one message: one', async () => {
      await fill(2);
      for (const id of [0, 1]) {
        expect(await callsOf(() => recv(queues, 100))).to.equal(1);
        expect(await callsOf(() => free(queues, 100, id))).to.equal(1);
      }
    });
  });

  it('keep the order: what came back, then what is due, then what is new', async () => {
    await fill(400);
    await recvIds(150);
    await recvIds(50);
    await makeDue(queues, 'leases');
    for (const id of numbers(100, 150)) if (id < 200) await back(queues, 100, id, { delayMs: 60_000 });
    await makeDue(queues, 'backed');
    expect(await recvIds(1_000)).to.deep.equal(numbers(400));
  });

  it('of FREE return all missing ids in their order, and free one message for each time an id is given', async () => {
    await fill(300);
    await recv(queues, 100, { max: 300 });
    const asked = [7, ...numbers(400), 7];
    expect(await freeMany(queues, 100, asked)).to.deep.equal([7, ...numbers(100, 300), 7]);
    expect(await queues.raw.xlen(key('queue'))).to.equal(0);
  });

  it('of PEEK show each message once, whatever the page', async () => {
    await fill(500);
    for (const max of [1_000, 200, SLICE_MESSAGES, 63]) {
      const ids: number[] = [];
      let cursor = '';
      do {
        const page = await peek(queues, 100, 'waiting', max, cursor);
        expect(page.messages.length).to.be.within(1, max);
        ids.push(...idsOf(page.messages));
        ({ cursor } = page);
      } while (cursor !== '');
      expect(ids).to.deep.equal(numbers(500));
    }
  });

  describe('when a later one fails', () => {
    /** @param works calls of this script that do; the next ones find the connection broken, or are refused */
    function failing(script: string, works: number, error = new Error('Connection is closed.')): Queues {
      let calls = 0;
      const redis = new Proxy(queues.redis, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown =>
            name === script && ++calls > works
              ? Promise.reject(error)
              : (value as (...args: unknown[]) => unknown).apply(target, args);
        },
      });
      return { ...queues, redis };
    }
    const refusal = Object.assign(new Error('LOADING Redis is loading'), { name: 'ReplyError' });
    const failureOf = async (promise: Promise<unknown>): Promise<BrokerError> =>
      promise.then(
        () => expect.fail('it was done'),
        (error: unknown) => error as BrokerError,
      );

    it('RECV returns the messages of the slices before it', async () => {
      await fill(1_000);
      const { messages } = await recv(failing('aizumiRecv', 3), 100, { max: 1_000 });
      expect(idsOf(messages)).to.deep.equal(numbers(3 * SLICE_MESSAGES));
      const again = await recv(failing('aizumiRecvRemembering', 2), 100, { max: 1_000, attemptId: 'a' });
      expect(again.messages).to.have.length(2 * SLICE_MESSAGES);
      expect((await recv(queues, 100, { attemptId: 'a' })).messages).to.deep.equal(again.messages);
      expect(await failureOf(recv(failing('aizumiRecv', 0), 100, { max: 10 }))).to.include({ outcome: 'unknown' });
    });

    it('FREE, DROP, MOVE and GBYE do not say that nothing was done', async () => {
      await kill(300);
      await fill(300, { first: 300 });
      for (const [what, act] of [
        ['MOVE', () => move(failing('aizumiMove', 1, refusal), 100, undefined, 1_000)],
        ['DROP', () => purge(failing('aizumiDrop', 1, refusal), 100, 'dead')],
      ] as const)
        expect(await failureOf(act()), what).to.include({ reason: 'unavailable', outcome: 'unknown' });
      const { messages } = await recv(queues, 100, { max: 300 });
      for (const [what, act] of [
        ['FREE', () => freeMany(failing('aizumiFree', 1, refusal), 100, idsOf(messages))],
        ['GBYE', () => gbye(failing('aizumiGbye', 1, refusal), 100)],
      ] as const)
        expect(await failureOf(act()), what).to.include({ reason: 'unavailable', outcome: 'unknown' });
      const refused = freeMany(failing('aizumiFree', 0, refusal), 100, [1, 2]);
      expect(await failureOf(refused)).to.include({ reason: 'unavailable', outcome: 'not_done' });
    });

    it('PEEK ends the page', async () => {
      await fill(300);
      const { messages, cursor } = await peek(failing('aizumiPeek', 2), 100, 'waiting', 1_000);
      expect(idsOf(messages)).to.deep.equal(numbers(2 * SLICE_MESSAGES));
      const rest = await peek(queues, 100, 'waiting', 1_000, cursor);
      expect(idsOf(rest.messages)).to.deep.equal(numbers(300 - 2 * SLICE_MESSAGES, 2 * SLICE_MESSAGES));
    });
  });

  describe('of long messages', () => {
    it('end with 4 MiB, and nothing more was delivered', async () => {
      await fill(16, { length: MB });
      expect(await recvIds(16)).to.deep.equal(numbers(5));
      expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(5);
    });

    it('end with 4 MiB also behind short ones; what was read with them comes next, as never delivered', async () => {
      await fill(40);
      await fill(16, { first: 40, length: MB });
      const seen: Delivery[] = [];
      for (;;) {
        const messages = await take(queues, 100, { max: 1_000 });
        if (messages.length === 0) break;
        const length = messages.reduce((sum, { payload }) => sum + payload.length, 0);
        expect(length).to.be.below(4_194_304 + MB + 3);
        seen.push(...messages);
      }
      expect(idsOf(seen)).to.deep.equal(numbers(56));
      expect(new Set(seen.map(({ attempt }) => attempt))).to.deep.equal(new Set([1]));
    });

    it('of PEEK end with 4 MiB', async () => {
      await fill(16, { length: MB });
      const { messages, cursor } = await peek(queues, 100, 'waiting', 16);
      expect(idsOf(messages)).to.deep.equal(numbers(5));
      expect(idsOf((await peek(queues, 100, 'waiting', 16, cursor)).messages)).to.deep.equal(numbers(5, 5));
    });

    it('that have expired are deleted one at a time', async () => {
      await fill(8, { length: MB, ttlMs: '1' });
      await fill(1, { first: 8 });
      const now = await redisMs(queues);
      await until('they have expired', async () => (await redisMs(queues)) > now + 1);
      expect(await callsOf(() => take(queues, 100))).to.equal(9);
    });
  });

  describe('of attempts', () => {
    const remembered = (): Promise<number> => queues.raw.zcard(key('attempts'));

    it('are of one attempt: each gets a part from the start, and all leased messages are returned to some request', async () => {
      await fill(3_000);
      const all = await Promise.all(
        Array.from({ length: 20 }, () => recv(queues, 100, { max: 1_000, attemptId: 'a' })),
      );
      const longest = all.map(({ messages }) => idsOf(messages)).sort((a, b) => b.length - a.length)[0]!;
      for (const { messages } of all) expect(idsOf(messages)).to.deep.equal(longest.slice(0, messages.length));
      expect(await queues.raw.zcard(key('held'))).to.equal(longest.length);
      expect(idsOf((await recv(queues, 100, { attemptId: 'a' })).messages)).to.deep.equal(longest);
    });

    it('are returned if they are still leased, also when those of whole slices are not', async () => {
      await fill(300);
      const { messages } = await recv(queues, 100, { max: 300, attemptId: 'a' });
      await makeDue(queues, 'leases');
      const last = messages.at(-1)!;
      const member = `${last.receipt.slice(17)}:${last.receipt.slice(0, 16)}`;
      await queues.raw.zadd(key('leases'), 'XX', (await redisMs(queues)) + 60_000, member);
      expect(idsOf((await recv(queues, 100, { attemptId: 'a', max: 10 })).messages)).to.deep.equal([299]);
      await makeDue(queues, 'leases');
      expect(idsOf(await take(queues, 100, { attemptId: 'a', max: 10 }))).to.deep.equal(numbers(10));
    });

    it('are remembered for five minutes at most, and the key expires', async () => {
      await fill(10);
      const first = await recv(queues, 100, { max: 2, attemptId: 'a', visibilityTimeoutMs: HALF_A_DAY_MS });
      expect(await queues.raw.pttl(key('attempts'))).to.be.within(1, 300_000);
      for (const member of await queues.raw.zrange(key('attempts'), '0', '-1'))
        await queues.raw.zincrby(key('attempts'), -300_001_000, member);
      expect(idsOf((await recv(queues, 100, { attemptId: 'b' })).messages)).to.deep.equal([2]);
      expect(await remembered(), 'the first is forgotten').to.equal(2);
      const second = await recv(queues, 100, { max: 2, attemptId: 'a' });
      expect(idsOf(second.messages)).to.deep.equal([3, 4]);
      expect(await freeMany(queues, 100, idsOf([...first.messages, ...second.messages]))).to.deep.equal([]);
    });

    it('are 20,000 messages and ids of a queue at most: the oldest are forgotten', async () => {
      await fill(12_000);
      for (let i = 0; i < 12; i++) await recv(queues, 100, { max: 1_000, attemptId: `long ${i}` });
      const many = async (from: number): Promise<unknown> =>
        Promise.all(numbers(1_000, from).map((i) => recv(queues, 100, { attemptId: `${i}` })));
      await fill(5_000);
      for (const from of numbers(5).map((i) => 1_000 * i)) await many(from);
      expect(await remembered()).to.be.within(19_000, 20_000);
      const ids = async (attemptId: string): Promise<number> =>
        (await recv(queues, 100, { attemptId, max: 1 })).messages.length;
      expect(await ids('long 11')).to.equal(1_000);
      expect(await ids('4999')).to.equal(1);
      expect(await ids('long 0'), 'nothing waits').to.equal(0);
    });

    it('are forgotten with FREE, DROP and GBYE', async () => {
      await fill(500);
      const { messages } = await recv(queues, 100, { max: 200, attemptId: 'a' });
      await freeMany(queues, 100, idsOf(messages));
      expect(await remembered()).to.equal(0);
      await recv(queues, 100, { max: 200, attemptId: 'b' });
      await makeDue(queues, 'leases');
      await purge(queues, 100, 'waiting');
      expect(await remembered()).to.equal(0);
      await fill(500);
      await recv(queues, 100, { max: 200, attemptId: 'c' });
      await gbye(queues, 100);
      expect(await remembered()).to.equal(0);
    });
  });
});

describe('queue: attempts in a Redis that is short of memory', () => {
  let server: TestServer;
  let queues: TestQueues;
  before(async () => {
    server = await startRedisServer({ args: ['--maxmemory', '48mb', '--appendonly', 'no'] });
    queues = await openQueues({}, server);
  });
  after(async () => {
    queues.close();
    await server.stop();
  });
  const memory = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await queues.raw.info('memory'))?.[1]);
  const put = (id: number, length: number): Promise<void> =>
    send(queues, 100, { saddr: 1, id, payload: `"${'x'.repeat(length)}"` });

  it('leave nothing behind, however many there were, and never take it past its limit', async function () {
    this.timeout(60_000);
    await Promise.all(Array.from({ length: 1_000 }, (_, id) => put(id, 100)));
    const before = await memory();
    let most = 0;
    for (let i = 0; i < 15; i++) {
      const options = { max: 1_000, attemptId: `${i}`, visibilityTimeoutMs: HALF_A_DAY_MS };
      expect((await recv(queues, 100, options)).messages).to.have.length(1_000);
      most = Math.max(most, await memory());
      await gbye(queues, 100);
    }
    expect(most - before).to.be.below(2 * MB);
    expect(await queues.keys()).not.to.include('{100}:attempts');
    await take(queues, 100, { max: 1_000 });
    await freeMany(
      queues,
      100,
      Array.from({ length: 1_000 }, (_, id) => id),
    );
  });

  it('are not remembered: RECV goes on, and a repeat takes other messages; remembered ones are returned', async function () {
    this.timeout(60_000);
    for (let id = 0; id < 100; id++) await put(id, 1);
    const options = { max: 70, visibilityTimeoutMs: HALF_A_DAY_MS };
    const early = await recv(queues, 100, { ...options, attemptId: 'early' });
    const attempts = `${queues.prefix}:{100}:attempts`;
    const size = await queues.raw.zcard(attempts);
    await queues.raw.config('SET', 'maxmemory', 1);
    expect(await put(1_000, 1).catch((error: unknown) => (error as BrokerError).reason)).to.equal('unavailable');
    const first = (await recv(queues, 100, { ...options, attemptId: 'late', max: 20 })).messages;
    const second = (await recv(queues, 100, { ...options, attemptId: 'late', max: 10 })).messages;
    expect([...first, ...second].map(({ id }) => id)).to.deep.equal(Array.from({ length: 30 }, (_, i) => 70 + i));
    expect((await recv(queues, 100, { attemptId: 'early' })).messages).to.deep.equal(early.messages);
    expect(await queues.raw.zcard(attempts)).to.equal(size);
    expect(
      await freeMany(
        queues,
        100,
        [...first, ...second].map(({ id }) => id),
      ),
    ).to.deep.equal([]);
  });
});
