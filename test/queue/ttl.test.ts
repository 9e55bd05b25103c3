import { expect } from 'chai';
import { LIGHT_MESSAGES, SLICE_MESSAGES } from '../../src/config/limits.js';
import { free } from '../../src/queue/free.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { endedFields, makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe('queue: a message with a time to live', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const expired = async (): Promise<number> => Number(await queues.raw.hget(key('counts'), 'expired'));
  afterEach(() => queues.close());

  const sendFor = (ttlMs: number | undefined, id = 7, { delayMs = 0, dedup = false } = {}): Promise<void> =>
    send(queues, 100, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup, ttlMs, delayMs });

  const pass = async (ms: number): Promise<void> => {
    const end = (await redisMs(queues)) + ms;
    await until('the time has passed', async () => (await redisMs(queues)) >= end);
  };

  it('is one XADD like any other, once the queue is known', async () => {
    queues = await openQueues();
    await sendFor(undefined);
    await queues.raw.config('RESETSTAT');
    await sendFor(60_000);
    const info = await queues.raw.info('commandstats');
    expect(info)
      .to.match(/cmdstat_xadd:calls=1,/)
      .and.not.to.match(/cmdstat_eval/);
    const [, entry] = await queues.raw.xrange(key('queue'), '-', '+');
    expect(entry?.[1]).to.deep.equal(['saddr', '1', 'id', '7', 'payload', '"7"', 'ttl', '60000']);
  });

  it('is delivered before its time is over, and never after: it is gone, and counted', async () => {
    queues = await openQueues();
    await sendFor(60_000, 1);
    await sendFor(20, 2);
    await sendFor(undefined, 3);
    await pass(20);
    expect([(await recv(queues, 100))?.id, (await recv(queues, 100))?.id]).to.deep.equal([1, 3]);
    expect(await expired()).to.equal(1);
    expect(await queues.raw.xlen(key('queue'))).to.equal(2);
    expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(2);
  });

  it('is distinguished from an empty queue by againMs 0: something was written', async () => {
    queues = await openQueues();
    await sendFor(1);
    await pass(1);
    expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: 0 });
    expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: undefined });
  });

  it('can be freed after its time, by who holds it, and is not delivered again', async () => {
    queues = await openQueues();
    for (const id of [1, 2]) await sendFor(400, id);
    for (const id of [1, 2]) expect(await recv(queues, 100)).to.include({ id });
    await pass(400);
    expect(await free(queues, 100, 1)).to.equal(true);
    await makeDue(queues, 'leases');
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await expired()).to.equal(1);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:counts', '{100}:queue']);
    expect(await free(queues, 100, 2)).to.equal(false);
  });

  it('lives from its SEND, whatever its delay', async () => {
    queues = await openQueues();
    await sendFor(50, 1, { delayMs: 60_000 });
    await sendFor(60_000, 2, { delayMs: 50 });
    await pass(50);
    await makeDue(queues, 'delayed');
    expect(await recv(queues, 100)).to.include({ id: 2 });
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await expired()).to.equal(1);
  });

  it('is remembered for the window when it was sent with dedup', async () => {
    queues = await openQueues();
    await sendFor(1, 7, { dedup: true });
    const [entry] = await queues.raw.xrange(key('queue'), '-', '+');
    expect(entry?.[1].slice(6)).to.deep.equal(['once', '1', 'ttl', '1']);
    await pass(1);
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await queues.raw.hlen(key('seen'))).to.equal(0);
    await sendFor(1, 7, { dedup: true });
    expect(await queues.raw.xlen(key('queue'))).to.equal(0);
    expect(await endedFields(queues)).to.deep.equal(['1:7']);
  });

  it('does not stop Redis for long: a call deletes a slice at most, and returns that it must be called again', async () => {
    queues = await openQueues();
    await Promise.all(Array.from({ length: 2_500 }, (_, id) => sendFor(1, id)));
    await sendFor(undefined, 9_999);
    await pass(1);
    let calls = 0;
    for (;;) {
      const { messages, againMs } = await receive(queues, 100, {}, { isBegun: calls > 0 });
      calls++;
      if (messages[0]) {
        expect(messages[0].id).to.equal(9_999);
        break;
      }
      expect(againMs).to.equal(0);
    }
    expect(calls).to.equal(1 + Math.ceil((2_500 + 1 - LIGHT_MESSAGES) / SLICE_MESSAGES));
    expect(await expired()).to.equal(2_500);
  });
});
