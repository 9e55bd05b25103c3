import { expect } from 'chai';
import { BrokerError } from '../../src/errors.js';
import { send } from '../../src/queue/send.js';
import { openQueues } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

describe('queue/send', () => {
  let queues: TestQueues;
  afterEach(() => queues.close());

  it('stores saddr, id and the payload text as one entry of the stream', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 12000, payload: '{"a": 1.0}' });
    const entries = await queues.raw.xrange(`${queues.prefix}:{100}:queue`, '-', '+');
    expect(entries.map(([, fields]) => fields)).to.deep.equal([['saddr', '1', 'id', '12000', 'payload', '{"a": 1.0}']]);
  });

  it('makes the queue with its group and its place in the register', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
    expect(await queues.raw.zrange(`${queues.prefix}:queues`, '0', '-1', 'WITHSCORES')).to.deep.equal(['100', '100']);
    const groups = (await queues.raw.xinfo('GROUPS', `${queues.prefix}:{100}:queue`)) as unknown[][];
    expect(groups).to.have.length(1);
    expect(groups[0]?.[1]).to.equal('receivers');
  });

  it('creates the queue again when another worker removed it meanwhile', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    await queues.raw.del(`${queues.prefix}:{100}:queue`, `${queues.prefix}:queues`);
    await send(queues, 100, { saddr: 1, id: 2, payload: '2' });
    expect(await queues.raw.xlen(`${queues.prefix}:{100}:queue`)).to.equal(1);
    expect(await queues.keys()).to.deep.equal(['queues', '{100}:queue']);
  });

  it('adds a message every time, even with an id seen before', async () => {
    queues = await openQueues();
    for (let i = 0; i < 3; i++) await send(queues, 100, { saddr: 1, id: 7, payload: '"same"' });
    expect(await queues.raw.xlen(`${queues.prefix}:{100}:queue`)).to.equal(3);
  });

  it('is one XADD once the queue is known', async () => {
    queues = await openQueues();
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    const calls = await commandsDuring(queues, () => send(queues, 100, { saddr: 1, id: 2, payload: '2' }));
    expect(calls).to.deep.equal(['xadd']);
  });

  it('refuses a message over the limit, to the message, and takes it when there is room again', async () => {
    queues = await openQueues({ maxQueueLength: 3 });
    for (let id = 1; id <= 3; id++) await send(queues, 100, { saddr: 1, id, payload: '1' });
    const refusal = await send(queues, 100, { saddr: 1, id: 4, payload: '1' }).catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(BrokerError).with.property('reason', 'queue_full');
    expect(await queues.raw.xlen(`${queues.prefix}:{100}:queue`)).to.equal(3);
    const [first] = await queues.raw.xrange(`${queues.prefix}:{100}:queue`, '-', '+', 'COUNT', 1);
    await queues.raw.xdel(`${queues.prefix}:{100}:queue`, first?.[0] as string);
    await send(queues, 100, { saddr: 1, id: 4, payload: '1' });
    expect(await queues.raw.xlen(`${queues.prefix}:{100}:queue`)).to.equal(3);
  });

  it('sees a queue fill up behind its back', async () => {
    queues = await openQueues({ maxQueueLength: 30_000 });
    const key = `${queues.prefix}:{100}:queue`;
    await send(queues, 100, { saddr: 1, id: 1, payload: '1' });
    const other = queues.raw.pipeline();
    for (let i = 0; i < 29_999; i++) other.xadd(key, '*', 'saddr', 1, 'id', 1, 'payload', '1');
    await other.exec();
    const refusal = await send(queues, 100, { saddr: 1, id: 2, payload: '1' }).catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(BrokerError).with.property('reason', 'queue_full');
    expect(await queues.raw.xlen(key)).to.equal(30_000);
  });
});

/** The commands that Redis ran for this client's `work`, by its own count. */
async function commandsDuring(queues: TestQueues, work: () => Promise<unknown>): Promise<string[]> {
  const monitor = await queues.raw.monitor();
  const seen: string[] = [];
  monitor.on('monitor', (_time: string, args: string[]) => {
    if (args.some((arg) => arg.includes(queues.prefix))) seen.push((args[0] as string).toLowerCase());
  });
  await work();
  await queues.raw.ping();
  await new Promise((resolve) => setImmediate(resolve));
  monitor.disconnect();
  return seen;
}
