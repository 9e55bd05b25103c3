import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { helo } from '../../src/queue/helo.js';
import { messageKeys } from '../../src/queue/message-keys.js';
import { send } from '../../src/queue/send.js';
import { endedFields, makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

/** Longer than any test, and than a time to live that passes in one. */
const LONG_MS = 3_600_000;
const WINDOW_MS = 100;
const TTL_MS = 20;

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');

describe('queue: a deduplicated message with a time to live', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  afterEach(() => queues.close());

  const sendOnce = (
    payload: string,
    { ttlMs, delayMs = 0 }: { ttlMs?: number; delayMs?: number } = {},
  ): Promise<void> =>
    send(queues, 100, { saddr: 1, id: 7, payload }, { durability: 'primary', dedup: true, ttlMs, delayMs });

  const length = async (): Promise<number> =>
    (await queues.raw.xlen(key('queue'))) + (await queues.raw.zcard(key('delayed')));

  const pass = async (ms: number): Promise<void> => {
    const end = (await redisMs(queues)) + ms;
    await until('the time has passed', async () => (await redisMs(queues)) >= end);
  };

  async function expectConflict(payload: string): Promise<void> {
    const error = await sendOnce(payload).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error).to.be.instanceOf(BrokerError);
    expect((error as BrokerError).reason).to.equal('id_conflict');
  }

  /** `"old"` is remembered: a repeat is acknowledged and adds nothing, another payload is refused. */
  async function expectRemembered(payload = '"old"'): Promise<void> {
    const before = await length();
    await sendOnce(payload, { ttlMs: LONG_MS });
    await expectConflict('"conflict"');
    expect(await length()).to.equal(before);
  }

  async function expectForgotten(payload = '"old"'): Promise<void> {
    const before = await length();
    await sendOnce(payload);
    expect(await length()).to.equal(before + 1);
  }

  /** The ways in which a message is sent that lives for 20 ms. */
  const SHORT_LIVES = [
    ['its own', () => sendOnce('"old"', { ttlMs: TTL_MS })],
    ['its own, shorter than its delay', () => sendOnce('"old"', { ttlMs: TTL_MS, delayMs: LONG_MS })],
    ["its queue's", () => sendOnce('"old"')],
    ["its queue's, shorter than its delay", () => sendOnce('"old"', { delayMs: LONG_MS })],
  ] as const;

  async function sendOld([name, sendIt]: (typeof SHORT_LIVES)[number], windowMs: number): Promise<void> {
    queues = await openQueues({ dedupWindowMs: windowMs });
    if (name.startsWith('its queue')) await helo(queues, 100, { ttl_ms: TTL_MS });
    await sendIt();
  }

  for (const delayMs of [0, LONG_MS])
    it(`is remembered while it lives, ${delayMs === 0 ? 'at once' : 'not due yet'}`, async () => {
      queues = await openQueues({ dedupWindowMs: 1 });
      await sendOnce('"old"', { ttlMs: LONG_MS, delayMs });
      await pass(10);
      await expectRemembered();
    });

  for (const life of SHORT_LIVES)
    describe(life[0], () => {
      it('is remembered for the window after its time, whether a RECV came upon it or not', async () => {
        await sendOld(life, LONG_MS);
        await pass(TTL_MS);
        await expectRemembered();
        await makeDue(queues, 'delayed');
        expect(await recv(queues, 100)).to.equal(undefined);
        expect(await length()).to.equal(0);
        expect(await endedFields(queues)).to.deep.equal(['1:7']);
        await expectRemembered();
      });

      for (const payload of ['"old"', '"another"'])
        it(`has ended for good after the window: ${payload === '"old"' ? 'sent again' : 'its id with another payload'}, it is added and received`, async () => {
          await sendOld(life, WINDOW_MS);
          await pass(TTL_MS + 2 * WINDOW_MS);
          await sendOnce(payload, { ttlMs: LONG_MS });
          await expectRemembered(payload);
          await makeDue(queues, 'delayed');
          expect(await recv(queues, 100)).to.deep.equal({ saddr: 1, id: 7, payload });
          // the old one was thrown away before or is now, and the new one's id stays remembered
          expect(await recv(queues, 100)).to.equal(undefined);
          expect(await length()).to.equal(1);
          await expectRemembered(payload);
          expect(await free(queues, 100, 7)).to.equal(true);
          expect(await queues.raw.exists(key('seen'))).to.equal(0);
        });
    });

  it('leaves the memory of the next with its id alone when it falls due before that one, which is delayed too', async () => {
    queues = await openQueues({ dedupWindowMs: WINDOW_MS });
    await sendOnce('"old"', { ttlMs: TTL_MS, delayMs: LONG_MS });
    const [old] = await queues.raw.zrange(key('delayed'), '0', '-1');
    await pass(TTL_MS + 2 * WINDOW_MS);
    await sendOnce('"old"', { delayMs: LONG_MS });
    await queues.raw.zadd(key('delayed'), 'XX', 1, old as string);
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await queues.raw.zcard(key('delayed'))).to.equal(1);
    await expectRemembered();
    await makeDue(queues, 'delayed');
    expect(await recv(queues, 100)).to.include({ id: 7 });
    await expectRemembered();
  });

  it('leaves the memory of the next with its id alone when it is freed', async () => {
    queues = await openQueues({ dedupWindowMs: WINDOW_MS });
    await sendOnce('"old"');
    expect(await recv(queues, 100)).to.include({ payload: '"old"' });
    await helo(queues, 100, { ttl_ms: 1 });
    await pass(1 + 2 * WINDOW_MS);
    await sendOnce('"new"', { ttlMs: LONG_MS });
    expect(await free(queues, 100, 7)).to.equal(true);
    expect(await endedFields(queues)).to.deep.equal([]);
    await expectRemembered('"new"');
    expect(await recv(queues, 100)).to.include({ payload: '"new"' });
    await expectRemembered('"new"');
  });

  it('leaves the memory of the next with its id alone when it is dropped', async () => {
    queues = await openQueues({ dedupWindowMs: WINDOW_MS });
    const dropAll = async (found: string[][]): Promise<number> => {
      const keys = messageKeys(queues.prefix, 100);
      const counts = await queues.redis.aizumiDrop(...keys, JSON.stringify(found), WINDOW_MS, 0);
      return counts[0] + counts[1];
    };
    await sendOnce('"old"', { ttlMs: TTL_MS, delayMs: LONG_MS });
    const [delayed] = await queues.raw.zrange(key('delayed'), '0', '-1');
    await pass(TTL_MS + 2 * WINDOW_MS);
    await sendOnce('"new"', { ttlMs: TTL_MS });
    const [[entry]] = (await queues.raw.xrange(key('queue'), '-', '+')) as [[string, string[]]];
    await pass(TTL_MS + 2 * WINDOW_MS);
    await sendOnce('"newest"');
    expect(
      await dropAll([
        ['delayed', delayed as string],
        ['queue', entry],
      ]),
    ).to.equal(2);
    expect(await endedFields(queues)).to.deep.equal([]);
    await expectRemembered('"newest"');
  });

  describe('is remembered from when it expired, not from when that was noticed', () => {
    const AGES = [0.25, 0.75, 1.25, 1.75, 2.25].map((windows) => windows * LONG_MS);

    /** A message that was sent with a delay, fell due, and expired `agoMs` ago. @returns until when it is remembered */
    async function plant(agoMs: number): Promise<{ untilMs: number; isOver: boolean }> {
      queues = await openQueues({ dedupWindowMs: LONG_MS });
      await helo(queues, 100);
      const now = await redisMs(queues);
      const fields = ['saddr', 1, 'id', 7, 'payload', '"old"', 'once', 1, 'ttl', 1_000, 'sent', now - agoMs - 1_000];
      const entry = await queues.raw.xadd(key('queue'), '*', ...fields);
      await queues.raw.hset(key('seen'), '1:7', `${sha1('"old"')}:${entry}`);
      const untilMs = (Math.floor((now - agoMs) / LONG_MS) + 2) * LONG_MS;
      return { untilMs, isOver: untilMs <= now };
    }

    async function check({ untilMs, isOver }: { untilMs: number; isOver: boolean }): Promise<void> {
      expect(await queues.raw.exists(key('seen'))).to.equal(0);
      expect(await endedFields(queues)).to.deep.equal(isOver ? [] : ['1:7']);
      const labels = [await queues.raw.hget(key('ended0'), 'until'), await queues.raw.hget(key('ended1'), 'until')];
      expect(labels.filter(Boolean).map(Number)).to.deep.equal(isOver ? [] : [untilMs]);
      await (isOver ? expectForgotten() : expectRemembered());
    }

    for (const agoMs of AGES) {
      it(`${agoMs / LONG_MS} windows ago, by SEND`, async () => {
        const { isOver } = await plant(agoMs);
        await (isOver ? expectForgotten() : expectRemembered());
      });

      it(`${agoMs / LONG_MS} windows ago, by RECV`, async () => {
        const planted = await plant(agoMs);
        expect(await recv(queues, 100)).to.equal(undefined);
        await check(planted);
      });

      it(`${agoMs / LONG_MS} windows ago, by FREE of who holds it`, async () => {
        const planted = await plant(agoMs);
        const [[entry]] = (await queues.raw.xrange(key('queue'), '-', '+')) as [[string, string[]]];
        await queues.raw.xreadgroup('GROUP', 'receivers', 'aizumi', 'STREAMS', key('queue'), '>');
        const [ms, sequence] = entry.split('-') as [string, string];
        const [padded, stamp] = [`${ms}-${sequence.padStart(10, '0')}`, `${ms}000`];
        await queues.raw.zadd(key('leases'), (await redisMs(queues)) + LONG_MS, `${padded}:${stamp}:1`);
        await queues.raw.zadd(key('held'), 7, `${stamp}:${padded}:1`);
        expect(await free(queues, 100, 7)).to.equal(true);
        await check(planted);
      });
    }
  });
});
