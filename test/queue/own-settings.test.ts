import { expect } from 'chai';
import type { BrokerError } from '../../src/errors.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { stat } from '../../src/queue/broker-stat.js';
import { makeDue, openQueues, recv, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe("queue: settings of a queue's own", () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const set = (name: string, value: number): Promise<number> => queues.raw.hset(key('settings'), name, value);
  const sendAll = async (...ids: number[]): Promise<void> => {
    for (const id of ids) await send(queues, 100, { saddr: 1, id, payload: '1' });
  };
  const refused = (id: number): Promise<boolean> =>
    sendAll(id).then(
      () => false,
      (error: unknown) => (error as BrokerError).reason === 'queue_full',
    );
  afterEach(() => queues.close());

  it("visibility_timeout_ms wins over the worker's, and a request's own over both", async () => {
    queues = await openQueues({ visibilityTimeoutMs: 1_000 });
    await set('visibility_timeout_ms', 50_000);
    await sendAll(1, 2, 3);
    for (const [options, expected] of [
      [{}, 50_000],
      [{ visibilityTimeoutMs: 7_000 }, 7_000],
      [{ visibilityTimeoutMs: 0 }, 0],
    ] as const) {
      const before = await redisMs(queues);
      const [message] = (await receive(queues, 100, options)).messages;
      expect(message?.leaseUntilMs).to.be.within(before + expected, (await redisMs(queues)) + expected);
      const scores = await queues.raw.zrange(key('leases'), '0', '-1', 'WITHSCORES');
      expect(scores).to.include(String(message?.leaseUntilMs));
    }
  });

  it("max_deliveries wins over the worker's", async () => {
    queues = await openQueues({ maxDeliveries: 20 });
    await set('max_deliveries', 2);
    await sendAll(1);
    for (let i = 0; i < 2; i++) {
      expect(await recv(queues, 100)).to.include({ id: 1 });
      await makeDue(queues, 'leases');
    }
    expect(await receive(queues, 100)).to.deep.equal({ messages: [], againMs: 0 });
    expect(await queues.raw.xlen(key('dead'))).to.equal(1);
  });

  it('ttl_ms is for messages that have none of their own', async () => {
    queues = await openQueues();
    await set('ttl_ms', 30);
    await sendAll(1);
    const options = { durability: 'primary', dedup: false, ttlMs: 60_000 } as const;
    await send(queues, 100, { saddr: 1, id: 2, payload: '1' }, options);
    const end = (await redisMs(queues)) + 30;
    await until('the time has passed', async () => (await redisMs(queues)) >= end);
    expect(await recv(queues, 100)).to.include({ id: 2 });
    expect(await queues.raw.hget(key('counts'), 'expired')).to.equal('1');
  });

  for (const [stored, limit, says] of [
    [3, 3, "wins over the worker's when it is lower"],
    [7, 5, "that an older version stored above the worker's counts as the worker's"],
  ] as const)
    it(`max_queue_length ${says}`, async () => {
      queues = await openQueues({ maxQueueLength: 5 });
      await set('max_queue_length', stored);
      for (let id = 1; id <= limit; id++) await sendAll(id);
      expect(await refused(99)).to.equal(true);
      const options = { durability: 'primary', dedup: true } as const;
      const once = send(queues, 100, { saddr: 1, id: 99, payload: '1' }, options).catch((error: unknown) => error);
      expect(await once).to.have.property('reason', 'queue_full');
      expect(await queues.raw.xlen(key('queue'))).to.equal(limit);
      expect((await stat(queues, 100)).queue?.settings).to.deep.equal({ max_queue_length: limit });
    });

  it('max_queue_length that is set later is learned along with the SENDs', async () => {
    queues = await openQueues({ maxQueueLength: 1_000_000 });
    await sendAll(1);
    await set('max_queue_length', 10);
    await until('the worker has learned it', () => refused(1));
    await set('max_queue_length', 500_000);
    expect(await refused(1)).to.equal(false);
  });
});
