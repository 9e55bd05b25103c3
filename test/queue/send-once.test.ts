import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { BrokerError } from '../../src/errors.js';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { send } from '../../src/queue/send.js';
import { endedFields, openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { patient } from '../../harness/patience.js';
import { until } from '../../harness/until.js';

/** Long enough that no test outlives it, short enough for one that waits for its end. */
const LONG_MS = 60_000;
const SHORT_MS = 1_000;

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');

describe('queue/send-once', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  const length = (address = 100): Promise<number> => queues.raw.xlen(`${queues.prefix}:{${address}}:queue`);
  afterEach(() => queues.close());

  const sendOnce = (id: number, payload = '"a"', { saddr = 1, to = 100 } = {}): Promise<void> =>
    send(queues, to, { saddr, id, payload }, { durability: 'primary', dedup: true });

  async function refusal(sent: Promise<void>): Promise<string> {
    const error = await sent.then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error).to.be.instanceOf(BrokerError);
    return (error as BrokerError).reason;
  }

  /** A repeat is acknowledged and adds nothing, another payload is refused. */
  async function expectRemembered(): Promise<void> {
    const before = await length();
    await sendOnce(7);
    expect(await length(), 'a repeat adds nothing').to.equal(before);
    expect(await refusal(sendOnce(7, '"b"'))).to.equal('id_conflict');
    expect(await length(), 'nor does a conflict').to.equal(before);
  }

  /** Ends the lease of the only message that is leased. */
  async function endLease(): Promise<void> {
    const [member] = await queues.raw.zrange(key('leases'), '0', '-1');
    await queues.raw.zadd(key('leases'), 'XX', 1, member as string);
  }

  /** The one hash of messages that have ended. */
  async function endedKey(): Promise<string> {
    const [name, ...others] = (await queues.keys()).filter((each) => /:ended[01]$/.test(each));
    expect(others).to.deep.equal([]);
    return `${queues.prefix}:${name}`;
  }

  it('stores the message, and a digest of its payload under sender and id', async () => {
    queues = await openQueues();
    await sendOnce(12_000, '{"a": 1.0}');
    const entries = await queues.raw.xrange(key('queue'), '-', '+');
    expect(entries.map(([, fields]) => fields)).to.deep.equal([
      ['saddr', '1', 'id', '12000', 'payload', '{"a": 1.0}', 'once', '1'],
    ]);
    const seen = await queues.raw.hgetall(key('seen'));
    expect(Object.keys(seen)).to.deep.equal(['1:12000']);
    expect(seen['1:12000']).to.equal(`${sha1('{"a": 1.0}')}:${entries[0]?.[0]}`);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue', '{100}:seen']);
    const groups = (await queues.raw.xinfo('GROUPS', key('queue'))) as unknown[][];
    expect(groups[0]?.[1]).to.equal('receivers');
    expect(await queues.raw.zscore(`${queues.prefix}:queues`, '100')).to.equal('100');
  });

  it('is received as any message is', async () => {
    queues = await openQueues();
    await sendOnce(Number.MAX_SAFE_INTEGER, '{"a": 1.0}', { saddr: 4_294_967_295 });
    expect(await recv(queues, 100)).to.deep.equal({
      saddr: 4_294_967_295,
      id: Number.MAX_SAFE_INTEGER,
      payload: '{"a": 1.0}',
    });
    expect(await free(queues, 100, Number.MAX_SAFE_INTEGER)).to.equal(true);
    expect(await length()).to.equal(0);
  });

  it('acknowledges a repeat and adds nothing, to the first payload only', async () => {
    queues = await openQueues();
    await sendOnce(7);
    for (let i = 0; i < 3; i++) await expectRemembered();
    expect(await length()).to.equal(1);
    expect((await recv(queues, 100))?.payload).to.equal('"a"');
  });

  it('adds one message, however many send it at once', async () => {
    queues = await openQueues();
    await Promise.all(Array.from({ length: 100 }, () => sendOnce(7)));
    expect(await length()).to.equal(1);
  });

  it('compares payloads by their text', async () => {
    queues = await openQueues();
    await sendOnce(7, '{"a":1}');
    expect(await refusal(sendOnce(7, '{"a": 1}'))).to.equal('id_conflict');
    expect(await refusal(sendOnce(7, ''))).to.equal('id_conflict');
  });

  it('takes the same id from another sender, or to another receiver, as another message', async () => {
    queues = await openQueues();
    await sendOnce(7);
    await sendOnce(7, '"b"', { saddr: 2 });
    await sendOnce(7, '"c"', { to: 101 });
    await sendOnce(8, '"d"');
    // neither is 1:17 the same as 11:7
    await sendOnce(17, '"e"');
    await sendOnce(7, '"f"', { saddr: 11 });
    expect(await length()).to.equal(5);
    expect(await length(101)).to.equal(1);
  });

  describe('writes something for a repeat, so that WAIT behind it waits for the replicas', () => {
    /** How far the primary's replication stream is: it grows by what replicas get. */
    const written = async (): Promise<number> =>
      Number(/rdb_changes_since_last_save:(\d+)/.exec(await queues.raw.info('persistence'))?.[1]);

    async function expectWrite(): Promise<void> {
      const monitor = await queues.raw.monitor();
      const commands: string[] = [];
      monitor.on('monitor', (_time: string, args: string[], source: string) => {
        if (source === 'lua' && args.some((arg) => arg.startsWith(queues.prefix)))
          commands.push(args[0]!.toLowerCase());
      });
      const before = await written();
      await sendOnce(7);
      expect(await written()).to.be.above(before);
      await queues.raw.ping();
      await until('the monitor has seen it', () => commands.includes('hset'));
      monitor.disconnect();
      expect(commands).not.to.include('xadd');
    }

    it('while the message waits', async () => {
      queues = await openQueues();
      await sendOnce(7);
      await expectWrite();
    });

    it('while it is leased', async () => {
      queues = await openQueues();
      await sendOnce(7);
      await recv(queues, 100);
      await expectWrite();
    });

    it('after it was freed', async () => {
      queues = await openQueues({ dedupWindowMs: LONG_MS });
      await sendOnce(7);
      await recv(queues, 100);
      await free(queues, 100, 7);
      await expectWrite();
    });
  });

  describe('remembers the message', () => {
    beforeEach(async () => {
      queues = await openQueues({ dedupWindowMs: LONG_MS, maxDeliveries: 2 });
      await sendOnce(7);
    });

    it('while it waits', expectRemembered);

    it('while it is leased, after its lease ended, and when it is delivered again', async () => {
      await recv(queues, 100);
      await expectRemembered();
      await endLease();
      await expectRemembered();
      expect(await recv(queues, 100)).to.include({ id: 7 });
      await expectRemembered();
    });

    it('after GBYE gave it back', async () => {
      await recv(queues, 100);
      await gbye(queues, 100);
      await expectRemembered();
      expect(await recv(queues, 100)).to.include({ id: 7 });
      await expectRemembered();
    });

    it('after it was freed, also when GBYE removed the queue', async () => {
      await recv(queues, 100);
      expect(await free(queues, 100, 7)).to.equal(true);
      await expectRemembered();
      await gbye(queues, 100);
      expect(await queues.raw.exists(key('queue'))).to.equal(0);
      await expectRemembered();
      expect(await recv(queues, 100)).to.equal(undefined);
    });

    it('after it died', async () => {
      for (let i = 0; i < 2; i++) {
        expect(await recv(queues, 100)).to.include({ id: 7 });
        await endLease();
      }
      expect(await recv(queues, 100)).to.equal(undefined);
      expect(await queues.raw.xlen(key('dead'))).to.equal(1);
      await expectRemembered();
    });

    it('after Redis lost its scripts', async () => {
      await queues.raw.script('FLUSH');
      await expectRemembered();
    });
  });

  it('does not bring back the register entry of a queue that is gone', async () => {
    queues = await openQueues({ dedupWindowMs: LONG_MS });
    await sendOnce(7);
    await recv(queues, 100);
    await free(queues, 100, 7);
    await gbye(queues, 100);
    await sendOnce(7);
    expect(await queues.raw.exists(key('queue'))).to.equal(0);
    expect(await queues.raw.zscore(`${queues.prefix}:queues`, '100')).to.equal(null);
  });

  it('acknowledges a repeat, even where it is unknown whether its queue is in the register', async () => {
    queues = await openQueues({ dedupWindowMs: LONG_MS });
    await sendOnce(7);
    queues.lengths.forget(100);
    await queues.raw.acl('SETUSER', queues.prefix, 'on', 'nopass', '~*', '+@all', '-exists');
    await queues.redis.call('AUTH', queues.prefix, 'any');
    await sendOnce(7);
    await queues.raw.acl('DELUSER', queues.prefix);
  });

  it('keeps what lives apart from what has ended, which expires', async () => {
    queues = await openQueues({ dedupWindowMs: LONG_MS });
    for (const id of [1, 2, 3]) await sendOnce(id);
    await recv(queues, 100);
    await free(queues, 100, 1);
    expect(await queues.raw.hkeys(key('seen'))).to.have.members(['1:2', '1:3']);
    expect(await queues.raw.ttl(key('seen')), 'what lives is remembered for ever').to.equal(-1);
    expect(await endedFields(queues)).to.deep.equal(['1:1']);
    const ended = await endedKey();
    const { until, ...fields } = await queues.raw.hgetall(ended);
    expect(fields).to.deep.equal({ '1:1': sha1('"a"') });
    expect(Number(until) % LONG_MS).to.equal(0);
    expect(await queues.raw.pttl(ended)).to.be.within(LONG_MS - 1_000, 2 * LONG_MS);
    expect(ended.at(-1)).to.equal(String((Number(until) / LONG_MS) % 2));
  });

  it('does not put off the end of the window with every repeat', async () => {
    queues = await openQueues({ dedupWindowMs: LONG_MS });
    await sendOnce(7);
    await recv(queues, 100);
    await free(queues, 100, 7);
    const ended = await endedKey();
    const before = await queues.raw.pexpiretime(ended);
    await sendOnce(7);
    expect(await queues.raw.pexpiretime(ended)).to.equal(before);
  });

  describe('forgets the message when the window has passed', () => {
    /** Resolves when a repeat adds a message; not before the window has passed, not long after. */
    async function expectForgotten(): Promise<void> {
      const endedAt = performance.now();
      const before = await length();
      await until(
        'it is forgotten',
        async () => {
          await sendOnce(7);
          return (await length()) > before;
        },
        4 * SHORT_MS,
      );
      expect(performance.now() - endedAt).to.be.within(SHORT_MS - 50, 2 * SHORT_MS + patient(500));
      expect(await length()).to.equal(before + 1);
    }

    it('since it was freed, and leaves nothing behind', async () => {
      queues = await openQueues({ dedupWindowMs: SHORT_MS });
      await sendOnce(7);
      await recv(queues, 100);
      await free(queues, 100, 7);
      await expectForgotten();
      await recv(queues, 100);
      await free(queues, 100, 7);
      await gbye(queues, 100);
      await until('nothing is left', async () => (await queues.keys()).length === 0, 4 * SHORT_MS);
    });

    it('since it died, and leaves nothing but the dead message', async () => {
      queues = await openQueues({ dedupWindowMs: SHORT_MS, maxDeliveries: 1, visibilityTimeoutMs: 0 });
      await sendOnce(7);
      await recv(queues, 100);
      expect(await recv(queues, 100)).to.equal(undefined);
      await expectForgotten();
      await recv(queues, 100);
      await free(queues, 100, 7);
      await gbye(queues, 100);
      const expected = ['queues', '{100}:dead', '{100}:queue'];
      await until('the rest is gone', async () => String(await queues.keys()) === String(expected), 4 * SHORT_MS);
    });

    it('and not while it lives, however long that is', async () => {
      queues = await openQueues({ dedupWindowMs: SHORT_MS, visibilityTimeoutMs: 50, maxDeliveries: 1_000 });
      await sendOnce(7);
      const windowsAfter = performance.now() + 2.5 * SHORT_MS;
      while (performance.now() < windowsAfter) {
        await until('its lease has ended', async () => (await recv(queues, 100)) !== undefined);
        await sendOnce(7);
        expect(await length()).to.equal(1);
      }
    });

    it('then another payload may have its id', async () => {
      queues = await openQueues({ dedupWindowMs: SHORT_MS });
      await sendOnce(7);
      await recv(queues, 100);
      await free(queues, 100, 7);
      await until(
        'the id is free',
        () =>
          sendOnce(7, '"b"').then(
            () => true,
            () => false,
          ),
        4 * SHORT_MS,
      );
      expect((await recv(queues, 100))?.payload).to.equal('"b"');
      expect(await refusal(sendOnce(7, '"a"'))).to.equal('id_conflict');
    });
  });

  it('acknowledges a repeat also when the queue is full, and refuses a new message', async () => {
    queues = await openQueues({ maxQueueLength: 2 });
    await sendOnce(7);
    await sendOnce(8);
    await expectRemembered();
    expect(await refusal(sendOnce(9))).to.equal('queue_full');
    expect(await queues.raw.hkeys(key('seen')), 'what was refused is not remembered').to.have.members(['1:7', '1:8']);
    await recv(queues, 100);
    await free(queues, 100, 7);
    await sendOnce(9);
    expect(await length()).to.equal(2);
  });

  it('does not touch plain messages with the same id, nor they it', async () => {
    queues = await openQueues();
    const plain = (payload: string): Promise<void> => send(queues, 100, { saddr: 1, id: 7, payload });
    await plain('"before"');
    await sendOnce(7);
    await plain('"after"');
    await plain('"again"');
    await expectRemembered();
    expect(await length()).to.equal(4);
    const received = [];
    for (let i = 0; i < 4; i++) received.push((await recv(queues, 100))?.payload);
    expect(received).to.deep.equal(['"before"', '"a"', '"after"', '"again"']);
  });

  it('is freed in its turn among plain messages with the same id', async () => {
    queues = await openQueues({ dedupWindowMs: LONG_MS });
    const payloads = async (): Promise<unknown[]> =>
      (await queues.raw.xrange(key('queue'), '-', '+')).map(([, fields]) => fields[5]);
    await send(queues, 100, { saddr: 1, id: 7, payload: '"first"' });
    await sendOnce(7, '"second"');
    await sendOnce(7, '"third"', { saddr: 2 });
    await send(queues, 100, { saddr: 1, id: 7, payload: '"fourth"' });
    for (let i = 0; i < 4; i++) await recv(queues, 100);
    const left = [
      [['"second"', '"third"', '"fourth"'], ['1:7', '2:7'], []],
      [['"third"', '"fourth"'], ['2:7'], ['1:7']],
      [['"fourth"'], [], ['1:7', '2:7']],
      [[], [], ['1:7', '2:7']],
    ] as const;
    for (const [messages, live, ended] of left) {
      expect(await free(queues, 100, 7)).to.equal(true);
      expect(await payloads()).to.deep.equal(messages);
      expect(await queues.raw.hkeys(key('seen'))).to.have.members(live);
      expect(await endedFields(queues)).to.have.members(ended);
    }
    expect(await free(queues, 100, 7)).to.equal(false);
    for (const name of ['leases', 'held']) expect(await queues.raw.exists(key(name)), name).to.equal(0);
    expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(0);
  });

  it('is forgotten with its stream, when somebody deletes that by hand', async () => {
    queues = await openQueues();
    await sendOnce(7);
    await recv(queues, 100);
    await queues.raw.del(key('queue'));
    await endLease();
    expect(await recv(queues, 100)).to.equal(undefined);
    await sendOnce(7);
    expect(await length(), 'an acknowledged message is there').to.equal(1);
  });

  it('leaves nothing to free when somebody deletes its entry by hand', async () => {
    queues = await openQueues();
    await sendOnce(7);
    await recv(queues, 100);
    const [[entry]] = (await queues.raw.xrange(key('queue'), '-', '+')) as [[string, string[]]];
    await queues.raw.xdel(key('queue'), entry);
    await endLease();
    expect(await recv(queues, 100)).to.equal(undefined);
    expect(await free(queues, 100, 7)).to.equal(false);
    expect(await queues.raw.exists(key('held'), key('leases'))).to.equal(0);
  });
});
