// Redis's clock jumps: docs/durability.md, "When Redis's clock jumps".
import { expect } from 'chai';
import { pino } from 'pino';
import { NO_CLOCK, clockLibrary } from '../../harness/clock.js';
import { drop } from '../../src/queue/drop.js';
import { free } from '../../src/queue/free.js';
import { QUEUE_SCRIPTS } from '../../src/queue/queues.js';
import { recv as receive } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { Waiting } from '../../src/queue/waiting/waiting.js';
import { Invalidations } from '../../src/redis/connect/invalidations.js';
import { openQueues, recv, redisMs, setClock } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { until } from '../../harness/until.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe("Redis's clock", function () {
  this.timeout(60_000);
  let server: TestServer;
  let queues: TestQueues;
  let address = 100;
  before(async function () {
    const clock = clockLibrary();
    if (clock === undefined) {
      console.log(NO_CLOCK);
      return this.skip();
    }
    server = await startRedisServer({ clock, args: ['--appendonly', 'no'] });
  });
  beforeEach(async () => {
    address++;
    queues = await openQueues({ visibilityTimeoutMs: 1 }, server);
    await jump(0);
  });
  afterEach(() => queues.close());
  after(() => (server as TestServer | undefined)?.stop());

  const jump = (aheadMs: number): Promise<void> => setClock(server, queues, aheadMs);
  const add = (id: number, more: { ttlMs?: number; delayMs?: number; dedup?: boolean } = {}): Promise<void> =>
    send(queues, address, { saddr: 1, id, payload: `"${id}"` }, { durability: 'primary', dedup: false, ...more });
  const pass = async (ms: number): Promise<void> => {
    const end = (await redisMs(queues)) + ms;
    await until('the time has passed', async () => (await redisMs(queues)) >= end);
  };

  for (const year of [1970, 2000])
    it(`may be at ${year} and be set right: a message sent and received then comes again, and is freed`, async () => {
      await jump(Date.UTC(year, 0, 2) - Date.now());
      await add(1);
      await add(2, { dedup: true });
      await add(3, { delayMs: 1 });
      await pass(2);
      expect((await receive(queues, address, { max: 5 })).messages.map(({ id }) => id)).to.deep.equal([1, 2, 3]);
      await pass(2);
      expect((await receive(queues, address, { max: 5 })).messages.map(({ id }) => id)).to.deep.equal([1, 2, 3]);
      await jump(0);
      await add(4);
      const { messages } = await receive(queues, address, { max: 5, visibilityTimeoutMs: HOUR_MS });
      expect(messages.map(({ id }) => id)).to.deep.equal([1, 2, 3, 4]);
      for (const { id, receipt } of messages) expect(await free(queues, address, id, receipt)).to.equal(true);
      expect(await queues.raw.xlen(`${queues.prefix}:{${address}}:queue`)).to.equal(0);
    });

  for (const year of [1970, 2000])
    it(`may be at ${year}: messages with a time to live end in every way, and their repeats add nothing`, async () => {
      await jump(Date.UTC(year, 0, 2) - Date.now());
      const sent = [
        { id: 1, ttlMs: HOUR_MS },
        { id: 2, ttlMs: HOUR_MS, delayMs: HOUR_MS / 2 },
        { id: 3, ttlMs: HOUR_MS },
        { id: 4, ttlMs: 1 },
        { id: 5, ttlMs: HOUR_MS, delayMs: 1 },
      ].map((one) => ({ ...one, dedup: true }));
      for (const { id, ...more } of sent) await add(id, more);
      expect(await drop(queues, address, 'waiting', [1], 10)).to.equal(1);
      expect(await drop(queues, address, 'delayed', [2], 10)).to.equal(1);
      await pass(2);
      const { messages } = await receive(queues, address, { max: 5, visibilityTimeoutMs: HOUR_MS });
      expect(messages.map(({ id }) => id)).to.deep.equal([3, 5]);
      for (const { id, receipt } of messages) expect(await free(queues, address, id, receipt)).to.equal(true);
      for (const { id, ...more } of sent) await add(id, more);
      const key = (name: string): string => `${queues.prefix}:{${address}}:${name}`;
      expect([await queues.raw.xlen(key('queue')), await queues.raw.zcard(key('delayed'))]).to.deep.equal([0, 0]);
    });

  it('may be set back: a message has the time to live that it was sent with, not an hour more', async () => {
    await jump(HOUR_MS);
    await add(1);
    await jump(0);
    // as a worker that has just come, and one that saw the queue more than 2 s ago
    queues.lengths.forget(address);
    await add(2);
    for (const dedup of [false, true]) await add(dedup ? 4 : 3, { ttlMs: 30, dedup });
    const entries = await queues.raw.xrange(`${queues.prefix}:{${address}}:queue`, '-', '+');
    expect(entries.map(([, fields]) => fields.includes('sent'))).to.deep.equal([false, true, true, true]);
    await pass(30);
    const { messages } = await receive(queues, address, { max: 5 });
    expect(messages.map(({ id }) => id)).to.deep.equal([1, 2]);
    expect(messages[1]!.sentAtMs).to.be.within(Date.now() - 60_000, Date.now() + 1_000);
  });

  it('is caught up with: then a SEND is one XADD again', async () => {
    await jump(HOUR_MS);
    await add(1);
    await jump(0);
    queues.lengths.forget(address);
    await add(2);
    await jump(2 * HOUR_MS);
    await add(3);
    await queues.raw.config('RESETSTAT');
    await add(4);
    expect(await queues.raw.info('commandstats')).not.to.match(/cmdstat_eval/);
    await recv(queues, address);
  });

  describe('and a RECV that waits', () => {
    let waiting: Waiting;
    let invalidations: Invalidations;
    beforeEach(() => {
      const log = pino({ level: 'silent' });
      invalidations = new Invalidations(queues.redis, { url: server.url, scripts: QUEUE_SCRIPTS, keepMs: 0, log });
      waiting = new Waiting(queues, invalidations);
    });
    afterEach(() => {
      waiting.stop();
      invalidations.close();
    });
    const wait = () => waiting.recv(address, {}, 20_000, { who: '', hasLeft: false, onLeave: () => undefined });
    const scripts = async (): Promise<number> => {
      const calls = (await queues.raw.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g);
      return [...calls].reduce((sum, [, count]) => sum + Number(count), 0);
    };

    it('gets a message with a delay within 5 s of a jump ahead over its end', async () => {
      await add(1, { delayMs: HOUR_MS / 2 });
      const waits = wait();
      // with the connection on which changes are told
      await until('it has looked', async () =>
        /name=aizumi-waiting .*cmd=eval/.test(String(await queues.raw.client('LIST'))),
      );
      await jump(HOUR_MS);
      expect((await waits).map(({ id }) => id)).to.deep.equal([1]);
    });

    it('does not ask over and over when a lease has become longer than a timer can be', async () => {
      await add(1);
      await receive(queues, address, { visibilityTimeoutMs: HOUR_MS });
      await jump(-30 * DAY_MS);
      await queues.raw.config('RESETSTAT');
      const waits = wait();
      // time for many looks, if each brought the next
      await until('it has waited', () => waiting.count === 1);
      for (let i = 0; i < 500; i++) await queues.raw.ping();
      expect(await scripts()).to.be.below(10);
      waiting.stop();
      await waits;
    });
  });
});
