import { expect } from 'chai';
import { Waiting } from '../../src/queue/waiting/waiting.js';
import type { Caller } from '../../src/queue/waiting/waiting.js';
import type { Invalidations, Listener } from '../../src/redis/connect/invalidations.js';
import { openQueues } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

const WAIT_MS = 20_000;
/** More than are polled at the same time. */
const MANY = 1_200;
/** No more than are polled for without waiting for a turn. */
const FEW = 20;
const CALLER: Caller = { who: 'a', hasLeft: false, onLeave: () => undefined };

describe('queue: RECVs that wait', () => {
  let queues: TestQueues;
  let waiting: Waiting;
  let listener: Listener;
  let session: object | undefined;
  /** Polls whose result Redis keeps up to date. */
  let polls: number;
  /** Ends the polls that are under way, and lets the next ones through. */
  let release: () => void;

  beforeEach(async () => {
    queues = await openQueues();
    session = undefined;
    polls = 0;
    const released = new Promise<void>((resolve) => (release = resolve));
    const invalidations: Pick<Invalidations, 'listen' | 'session' | 'trackedRead'> = {
      listen: (it) => (listener = it),
      session: () => session,
      async trackedRead(_, read) {
        polls += 1;
        await released;
        return { found: await read(queues.redis), isTracked: true };
      },
    };
    waiting = new Waiting(queues, invalidations as Invalidations);
  });
  afterEach(async () => {
    release();
    waiting.stop();
    await until('nobody waits', () => waiting.count === 0);
    queues.close();
  });

  /** Each at an address of its own, polled for without a session. */
  async function startWaiters(count: number): Promise<void> {
    for (let i = 0; i < count; i++) void waiting.recv(100 + i, {}, WAIT_MS, CALLER);
    await queues.redis.ping(); // after the replies to all polls on this connection
  }

  it('are polled for once in a session, however often that is reported', async () => {
    await startWaiters(MANY);
    session = {};
    listener.onSession();
    listener.onSession();
    listener.onSession();
    release();
    await until('all are polled for', () => polls >= MANY);
    listener.onSession();
    await queues.redis.ping();
    expect(polls).to.equal(MANY);
  });

  it('are polled for again when all may have changed during a poll', async () => {
    session = {};
    await startWaiters(FEW);
    expect(polls).to.equal(FEW);
    listener.onChange(undefined);
    release();
    await until('all are polled for again', () => polls === 2 * FEW);
  });

  it('are polled for again when a session begins during a poll in another one', async () => {
    session = {};
    await startWaiters(FEW);
    session = {};
    listener.onSession();
    release();
    await until('all are polled for again', () => polls === 2 * FEW);
  });
});
