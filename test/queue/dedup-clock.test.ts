import { expect } from 'chai';
import { clockLibrary } from '../../harness/clock.js';
import { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv, redisMs, setClock } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';

const WINDOW_MS = 300_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe('queue: messages that ended are remembered', () => {
  let server: TestServer;
  let queues: TestQueues;
  /** How far Redis's clock is ahead of the machine's: half a minute after the start of a window of time. */
  let aheadMs: number;

  before(async function () {
    const clock = clockLibrary();
    server = await startRedisServer({ clock });
    if (clock === undefined) this.skip();
  });
  after(() => server.stop());

  beforeEach(async () => {
    const now = Date.now();
    // well ahead of what the test before did
    aheadMs = (Math.ceil(now / WINDOW_MS) + 1) * WINDOW_MS + MINUTE_MS / 2 - now;
    queues = await openQueues({ dedupWindowMs: WINDOW_MS }, server);
    await setClock(server, queues, aheadMs);
  });
  afterEach(() => queues.close());

  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const length = (): Promise<number> => queues.raw.xlen(key('queue'));
  const jump = (ms: number): Promise<void> => setClock(server, queues, (aheadMs += ms));
  const sendOnce = (id: number, payload = '"a"'): Promise<void> =>
    send(queues, 100, { saddr: 1, id, payload }, { durability: 'primary', dedup: true });

  async function sendAndFree(id: number): Promise<void> {
    await sendOnce(id);
    expect(await recv(queues, 100)).to.include({ id });
    expect(await free(queues, 100, id)).to.equal(true);
  }

  async function expectRemembered(...ids: number[]): Promise<void> {
    for (const id of ids) {
      await sendOnce(id);
      expect(await length(), `a repeat of ${id} adds nothing`).to.equal(0);
      const error = await sendOnce(id, '"b"').catch((failure: unknown) => failure);
      expect(error, `another payload for ${id}`).to.be.instanceOf(BrokerError).and.include({ reason: 'id_conflict' });
    }
  }

  /** ms from now, of the hashes that there are */
  async function lifetimes(): Promise<number[]> {
    const now = await redisMs(queues);
    const ends = await Promise.all(['ended0', 'ended1'].map((name) => queues.raw.pexpiretime(key(name))));
    return ends.filter((end) => end !== -2).map((end) => end - now);
  }

  it('when the clock is set back over the boundary of a window, and when it is set right', async () => {
    await sendAndFree(1);
    await jump(-MINUTE_MS);
    await expectRemembered(1);
    await sendAndFree(2);
    await expectRemembered(1, 2);
    await jump(MINUTE_MS);
    await expectRemembered(1, 2);
    await sendAndFree(3);
    await expectRemembered(1, 2, 3);
  });

  it('over the boundary of a window as time passes, and not over two', async () => {
    await sendAndFree(1);
    await jump(WINDOW_MS);
    await expectRemembered(1);
    await sendAndFree(2);
    await expectRemembered(1, 2);
    await jump(WINDOW_MS);
    await expectRemembered(2);
    await sendAndFree(3);
    await sendAndFree(1);
    await expectRemembered(1, 2, 3);
  });

  it('when the window is made longer, and shorter', async () => {
    const workers = [queues];
    try {
      for (const [i, dedupWindowMs] of [3 * WINDOW_MS, WINDOW_MS, 2 * WINDOW_MS].entries()) {
        const id = 10 * i + 1;
        await sendAndFree(id);
        await jump(MINUTE_MS);
        workers.push((queues = await openQueues({ dedupWindowMs, keyPrefix: queues.prefix }, server)));
        await sendAndFree(id + 1);
        await expectRemembered(id, id + 1);
        await jump(2 * MINUTE_MS);
        await sendAndFree(id + 2);
        await expectRemembered(id, id + 1, id + 2);
      }
    } finally {
      for (const other of workers) if (other !== queues) other.close();
    }
  });

  it('when the clock is set back by hours, also what ends then, and when it is set right', async () => {
    await sendAndFree(1);
    await jump(WINDOW_MS);
    await sendAndFree(2);
    await jump(-3 * HOUR_MS);
    await expectRemembered(1, 2);
    await sendAndFree(3);
    await jump(WINDOW_MS);
    await sendAndFree(4);
    await expectRemembered(1, 2, 3, 4);
    await jump(3 * HOUR_MS - WINDOW_MS);
    await expectRemembered(1, 2, 3, 4);
    for (const ms of await lifetimes()) expect(ms).to.be.within(0, 2 * WINDOW_MS);
  });

  it('when the clock was ahead by hours and is set right, as long as the jump was', async () => {
    await jump(3 * HOUR_MS);
    await sendAndFree(1);
    await jump(-3 * HOUR_MS);
    await sendAndFree(2);
    for (let i = 0; i < 3; i++) {
      await jump(HOUR_MS - WINDOW_MS);
      await expectRemembered(1, 2);
    }
    await jump(6 * WINDOW_MS);
    expect(await lifetimes()).to.deep.equal([]);
    await sendAndFree(1);
    await sendAndFree(2);
  });

  for (const [howFar, days] of [
    ['days', 3],
    ['decades', 30 * 365],
  ] as const)
    it(`when the clock was ahead by ${howFar} and is set right, for a day at most once more is written`, async () => {
      await jump(days * DAY_MS);
      await sendAndFree(1);
      await jump(WINDOW_MS);
      await sendAndFree(2);
      await jump(-days * DAY_MS);
      await expectRemembered(1, 2);
      await sendAndFree(3);
      await expectRemembered(1, 2, 3);
      await jump(-WINDOW_MS);
      await sendAndFree(4);
      await expectRemembered(1, 2, 3, 4);
      const ends = await lifetimes();
      expect(ends).to.have.length(2);
      for (const ms of ends) expect(ms).to.be.within(DAY_MS, DAY_MS + 3 * WINDOW_MS);
    });
});
