import { expect } from 'chai';
import { SLICE_MESSAGES } from '../../src/config/limits.js';
import type { BrokerError } from '../../src/errors.js';
import { free, freeMany } from '../../src/queue/free.js';
import { recv as receive } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { openQueues, recv, scriptCalls } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/free', () => {
  let queues: TestQueues;
  const key = (name: string): string => `${queues.prefix}:{100}:${name}`;
  afterEach(() => queues.close());

  it('removes the message and every trace of its delivery', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 7, payload: '1' });
    await recv(queues, 100);
    expect(await free(queues, 100, 7)).to.equal(true);
    expect(await queues.raw.xlen(key('queue'))).to.equal(0);
    expect(await queues.raw.xpending(key('queue'), 'receivers')).to.deep.equal([0, null, null, null]);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
    expect(await free(queues, 100, 7)).to.equal(false);
  });

  it('does not free a message that waits and was not delivered', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 7, payload: '1' });
    expect(await free(queues, 100, 7)).to.equal(false);
    expect(await queues.raw.xlen(key('queue'))).to.equal(1);
  });

  it('frees by ids up to 2^53 − 1 exactly', async () => {
    queues = await openQueues();
    const top = Number.MAX_SAFE_INTEGER;
    await send(queues, 100, { saddr: 1, id: top, payload: '1' });
    await recv(queues, 100);
    expect(await free(queues, 100, top - 1)).to.equal(false);
    expect(await free(queues, 100, top)).to.equal(true);
  });

  it('frees the one delivered first of several with the same id', async () => {
    queues = await openQueues();
    for (const payload of ['"a"', '"b"', '"c"']) await send(queues, 100, { saddr: 1, id: 7, payload });
    for (let i = 0; i < 3; i++) await recv(queues, 100);
    await free(queues, 100, 7);
    expect(await payloads(queues)).to.deep.equal(['"b"', '"c"']);
  });

  it('counts a message delivered again as delivered last', async () => {
    queues = await openQueues();
    for (const payload of ['"a"', '"b"']) await send(queues, 100, { saddr: 1, id: 7, payload });
    await recv(queues, 100);
    const [first] = await queues.raw.zrange(key('leases'), '0', '0');
    await recv(queues, 100);
    await queues.raw.zadd(key('leases'), 1, first as string);
    expect((await recv(queues, 100))?.payload).to.equal('"a"');
    await free(queues, 100, 7);
    expect(await payloads(queues)).to.deep.equal(['"a"']);
  });

  it('still succeeds after the lease ended, until the message is redelivered', async () => {
    queues = await openQueues({ visibilityTimeoutMs: 0 });
    await send(queues, 100, { saddr: 1, id: 7, payload: '1' });
    await recv(queues, 100);
    expect(await free(queues, 100, 7)).to.equal(true);
    expect(await recv(queues, 100)).to.equal(undefined);
  });

  describe('of several', () => {
    it('frees each that is held, and says which are not', async () => {
      queues = await openQueues();
      for (const id of [1, 2, 3, 4]) await send(queues, 100, { saddr: 1, id, payload: `"${id}"` });
      await receive(queues, 100, { max: 3 });
      const top = Number.MAX_SAFE_INTEGER;
      expect(await freeMany(queues, 100, [3, 4, 1, top])).to.deep.equal([4, top]);
      expect(await payloads(queues)).to.deep.equal(['"2"', '"4"']);
      expect(await queues.raw.zcard(key('leases'))).to.equal(1);
      expect((await queues.raw.xpending(key('queue'), 'receivers'))[0]).to.equal(1);
    });

    it('frees as many of one id as it is given times', async () => {
      queues = await openQueues();
      for (const payload of ['"a"', '"b"', '"c"']) await send(queues, 100, { saddr: 1, id: 7, payload });
      await receive(queues, 100, { max: 3 });
      expect(await freeMany(queues, 100, [7, 7])).to.deep.equal([]);
      expect(await payloads(queues)).to.deep.equal(['"c"']);
      expect(await freeMany(queues, 100, [7, 7])).to.deep.equal([7]);
    });

    it('is a script call for each slice', async () => {
      queues = await openQueues();
      const ids = Array.from({ length: 1_000 }, (_, id) => id);
      await Promise.all(ids.map((id) => send(queues, 100, { saddr: 1, id, payload: '1' })));
      await receive(queues, 100, { max: 1_000 });
      await queues.raw.config('RESETSTAT');
      expect(await freeMany(queues, 100, ids)).to.deep.equal([]);
      expect(await scriptCalls(queues)).to.equal(Math.ceil(1_000 / SLICE_MESSAGES));
      expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
    });

    it('remembers each that was sent with dedup', async () => {
      queues = await openQueues();
      for (const id of [1, 2, 3])
        await send(queues, 100, { saddr: 1, id, payload: '1' }, { durability: 'primary', dedup: true });
      await receive(queues, 100, { max: 3 });
      await freeMany(queues, 100, [1, 3]);
      expect(await queues.raw.hkeys(key('seen'))).to.deep.equal(['1:2']);
    });
  });

  describe('with a receipt', () => {
    const lost = (receipt: string, id = 7): Promise<unknown> =>
      free(queues, 100, id, receipt).then(
        () => undefined,
        (error: unknown) => (error as BrokerError).reason,
      );

    it('frees that very delivery, not the one of its id that was delivered first', async () => {
      queues = await openQueues();
      for (const payload of ['"a"', '"b"']) await send(queues, 100, { saddr: 1, id: 7, payload });
      const { messages } = await receive(queues, 100, { max: 2 });
      expect(await free(queues, 100, 7, messages[1]!.receipt)).to.equal(true);
      expect(await payloads(queues)).to.deep.equal(['"a"']);
      expect(await lost(messages[1]!.receipt)).to.equal('lease_lost');
      expect(await payloads(queues)).to.deep.equal(['"a"']);
    });

    it('is lease_lost once the message was delivered again: only one of two can free it', async () => {
      queues = await openQueues({ visibilityTimeoutMs: 0 });
      await send(queues, 100, { saddr: 1, id: 7, payload: '1' }, { durability: 'primary', dedup: true });
      const [first] = (await receive(queues, 100)).messages;
      const [second] = (await receive(queues, 100)).messages;
      expect(await lost(first!.receipt)).to.equal('lease_lost');
      expect(await free(queues, 100, 7, second!.receipt)).to.equal(true);
      expect(await queues.raw.hlen(key('seen'))).to.equal(0);
    });

    it('is lease_lost for another id, another address, and for what is no receipt', async () => {
      queues = await openQueues();
      await send(queues, 100, { saddr: 1, id: 7, payload: '1' });
      const [{ receipt }] = (await receive(queues, 100)).messages as [Delivery];
      expect(await lost(receipt, 8)).to.equal('lease_lost');
      expect(await lost('hello')).to.equal('lease_lost');
      const elsewhere = await free(queues, 101, 7, receipt).catch((error: unknown) => error);
      expect(elsewhere).to.have.property('reason', 'lease_lost');
      expect(await free(queues, 100, 7, receipt)).to.equal(true);
    });
  });

  it('costs no more with thousands of messages of one id than with different ids', async () => {
    queues = await openQueues();
    const count = 4_000;
    for (const [address, idOf] of [
      [100, () => 1],
      [101, (i: number) => i],
    ] as const) {
      await Promise.all(
        Array.from({ length: count }, (_, i) => send(queues, address, { saddr: 1, id: idOf(i), payload: '1' })),
      );
      await Promise.all(Array.from({ length: count }, () => recv(queues, address)));
    }
    // what FREE looks at is bounded: the script's commands, each for one member, however many share the id
    const calls = await callsDuring(queues, async () => {
      expect(await free(queues, 100, 1)).to.equal(true);
    });
    expect(calls).to.deep.equal({ zrange: 1, zrem: 2, xack: 1, xdel: 1 });
    await Promise.all(Array.from({ length: count - 1 }, () => free(queues, 100, 1)));
    expect(await queues.raw.xlen(key('queue'))).to.equal(0);
  });
});

async function payloads(queues: TestQueues): Promise<string[]> {
  const entries = await queues.raw.xrange(`${queues.prefix}:{100}:queue`, '-', '+');
  return entries.map(([, fields]) => fields[5] as string);
}

/** How often Redis ran each data command during `work`, from INFO commandstats. */
async function callsDuring(queues: TestQueues, work: () => Promise<void>): Promise<Record<string, number>> {
  await queues.raw.config('RESETSTAT');
  await work();
  const info = await queues.raw.info('commandstats');
  const calls: Record<string, number> = {};
  for (const [, command, count] of info.matchAll(/cmdstat_([xz]\w+):calls=(\d+)/g))
    calls[command as string] = Number(count);
  return calls;
}
