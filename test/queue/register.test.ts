import { expect } from 'chai';
import { gbye } from '../../src/queue/gbye.js';
import { helo } from '../../src/queue/helo.js';
import type { Queues } from '../../src/queue/queues.js';
import { repairRegister } from '../../src/queue/register.js';
import { send } from '../../src/queue/send.js';
import { UsedAddresses } from '../../src/queue/used-addresses.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { until } from '../../harness/until.js';

describe('queue: the register of addresses', () => {
  let queues: TestQueues;
  beforeEach(async () => (queues = await openQueues()));
  afterEach(() => queues.close());

  const register = (): string => `${queues.prefix}:queues`;
  const registered = (): Promise<string[]> => queues.raw.zrange(register(), '0', '-1', 'WITHSCORES');
  const put = (address: number, to: Queues = queues): Promise<void> =>
    send(to, address, { saddr: 1, id: 1, payload: '"a"' });

  /** Calls `see` for each command about this test's keys, except those inside scripts. @returns what stops it */
  async function watch(see: (command: string, args: string[]) => unknown): Promise<() => void> {
    const monitor = await queues.raw.monitor();
    monitor.on('monitor', (_time: string, [command = '', ...args]: string[], source: string) => {
      if (source !== 'lua' && args.some((arg) => arg.startsWith(queues.prefix))) see(command.toLowerCase(), args);
    });
    return () => monitor.disconnect();
  }

  it('gets back what was lost of the addresses that were sent to, received from or announced', async () => {
    await put(100);
    await put(101);
    const other = await openQueues({ keyPrefix: queues.prefix });
    await helo(other, 102);
    await recv(other, 101);
    await queues.raw.del(register());
    await repairRegister(other);
    expect(await registered()).to.deep.equal(['101', '101', '102', '102']);
    await repairRegister(queues);
    expect(await registered()).to.deep.equal(['100', '100', '101', '101', '102', '102']);
    other.close();
  });

  it('does so long after the queue was known, and costs SEND and RECV nothing', async () => {
    await put(100);
    await recv(queues, 100);
    await queues.raw.del(register());
    const seen: string[] = [];
    const stop = await watch((command) => seen.push(command));
    await put(100);
    await recv(queues, 100);
    await queues.raw.hset(`${queues.prefix}:last`, 'a', 1);
    await until('all is seen', () => seen.includes('hset'));
    stop();
    expect(seen).to.deep.equal(['xadd', 'evalsha', 'hset']);
    expect(await registered()).to.deep.equal([]);
    await repairRegister(queues);
    expect(await registered()).to.deep.equal(['100', '100']);
  });

  it('has no address without a queue', async () => {
    await recv(queues, 100);
    await put(101);
    await recv(queues, 101);
    await queues.raw.del(`${queues.prefix}:{101}:queue`, register());
    await repairRegister(queues);
    expect(await registered()).to.deep.equal([]);
  });

  it('is not repaired again for an address without a queue until that is used again', async () => {
    await recv(queues, 100);
    await repairRegister(queues);
    const seen: string[] = [];
    const stop = await watch((command, [key = '']) => seen.push(`${command} ${key.replace(queues.prefix, '')}`));
    await repairRegister(queues);
    await put(100);
    await queues.raw.del(register());
    await repairRegister(queues);
    await until('the address is back', () => seen.some((command) => command.startsWith('zadd')));
    stop();
    expect(seen.filter((command) => command.startsWith('zmscore'))).to.deep.equal(['zmscore :queues']);
    expect(await registered()).to.deep.equal(['100', '100']);
  });

  describe('while it is repaired', () => {
    /** The worker's connection, on which `then` runs after the reply to the first EXISTS. */
    function interrupted(then: () => Promise<unknown>): Queues {
      let isFirst = true;
      const redis = new Proxy(queues.redis, {
        get(target, name) {
          const value = Reflect.get(target, name) as unknown;
          if (name !== 'exists') return typeof value === 'function' ? value.bind(target) : value;
          return async (key: string) => {
            const reply = await target.exists(key);
            if (isFirst) {
              isFirst = false;
              await then();
            }
            return reply;
          };
        },
      });
      return { ...queues, redis };
    }

    it('a GBYE is not undone', async () => {
      await helo(queues, 100);
      await queues.raw.del(register());
      await repairRegister(interrupted(() => gbye(queues, 100)));
      expect(await registered()).to.deep.equal([]);
    });

    it('a queue that is created again after a GBYE stays registered', async () => {
      await helo(queues, 100);
      await queues.raw.del(register());
      await repairRegister(
        interrupted(async () => {
          await gbye(queues, 100);
          await put(100);
        }),
      );
      expect(await registered()).to.deep.equal(['100', '100']);
    });
  });

  it('is repaired in slices', async () => {
    for (let address = 0; address < 1_000; address++) queues.used.note(address);
    await put(999);
    await queues.raw.del(register());
    const slices: number[] = [];
    const stop = await watch((command, args) => command === 'zmscore' && slices.push(args.length - 1));
    await repairRegister(queues);
    await until('all is seen', () => slices.length === 5);
    stop();
    expect(slices).to.deep.equal([200, 200, 200, 200, 200]);
    expect(await registered()).to.deep.equal(['999', '999']);
  });

  describe('queue/used-addresses', () => {
    const MINUTE_MS = 60_000;

    it('are remembered for three minutes at least and six at most', () => {
      const used = new UsedAddresses();
      used.note(1);
      for (let minute = 0; minute <= 3; minute++) expect(used.recent(minute * MINUTE_MS)).to.deep.equal([1]);
      used.note(2);
      expect(used.recent(4 * MINUTE_MS)).to.deep.equal([2, 1]);
      expect(used.recent(6 * MINUTE_MS)).to.deep.equal([2, 1]);
      expect(used.recent(6 * MINUTE_MS)).to.deep.equal([2]);
      expect(used.recent(9 * MINUTE_MS)).to.deep.equal([2]);
      expect(used.recent(9 * MINUTE_MS)).to.deep.equal([]);
    });

    it('are forgotten when that is wanted', () => {
      const used = new UsedAddresses();
      for (const address of [1, 2]) used.note(address);
      used.recent(5 * MINUTE_MS);
      used.note(1);
      used.forget(1);
      used.forget(2);
      expect(used.recent(5 * MINUTE_MS)).to.deep.equal([]);
    });

    it('are 100,000 at most', () => {
      const used = new UsedAddresses();
      for (let address = 0; address < 120_000; address++) used.note(address);
      const recent = used.recent(0);
      expect(recent.length).to.be.within(50_000, 100_000);
      expect(recent).to.include(119_999);
    });
  });
});
