// A slot of a Redis Cluster that is being moved: no message is lost, duplicated or reordered, and no request is answered 500.
import { Command } from 'ioredis';
import { expect } from 'chai';
import { ask } from '../../harness/ask.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import {
  beginMove,
  cancelMove,
  endMove,
  moveKeys,
  moveNamed,
  moveToAndFro,
  ownerOf,
  replicasHaveAll,
} from '../../harness/slots.js';
import type { SlotMove } from '../../harness/slots.js';
import { startClusterStack } from '../../harness/stacks.js';
import type { Stack, StackNode } from '../../harness/stacks.js';
import { patient } from '../../harness/patience.js';
import { until } from '../../harness/until.js';
import { QueueLoad } from '../support/queue-load.js';

/** Complete moves of the slot under load. */
const MOVES = Number(process.env.AIZUMI_TEST_SLOT_MOVES ?? 40);
const LOAD_MS = 15_000;

/** Addresses for tests that need an unused queue. */
const FRESH = 9;

const WAYS = [
  { durability: 'primary' },
  { durability: 'quorum' },
  { durability: 'all', ttl_ms: 600_000 },
  { durability: 'primary', dedup: true },
  { durability: 'quorum', dedup: true },
];

/** The first addresses from `from` on whose queues share a slot. */
function addressesOfOneSlot(prefix: string, count: number): { slot: number; addresses: number[] } {
  const slotOfAddress = (address: number): number => new Command('exists', [`${prefix}:{${address}}:queue`]).getSlot();
  const slot = slotOfAddress(1);
  const addresses = [];
  for (let address = 1; addresses.length < count; address++)
    if (slotOfAddress(address) === slot) addresses.push(address);
  return { slot, addresses };
}

describe('while a slot of a Cluster is moved', function () {
  this.timeout(90_000);
  let stack: Stack;
  let broker: TestBroker;
  let move: SlotMove;
  let addresses: number[];
  let freshAddresses: number[];
  let primaries: StackNode[];

  before(async () => {
    stack = await startClusterStack();
    primaries = stack.nodes.slice(0, 3);
    broker = await startBroker({ AIZUMI_REDIS_URL: stack.url });
    const found = addressesOfOneSlot(broker.config.keyPrefix, WAYS.length + FRESH);
    addresses = found.addresses.slice(0, WAYS.length);
    freshAddresses = found.addresses.slice(WAYS.length);
    const from = await ownerOf(primaries, found.slot);
    move = { slot: found.slot, from, to: primaries.find((node) => node !== from)! };
    await until(
      'SENDs at quorum are acknowledged',
      async () => (await send(addresses[0]!, 0, { durability: 'quorum' })).status === 200,
    );
    await receive(addresses[0]!);
  });
  after(async () => {
    await broker.stop();
    await stack.stop();
  });

  const send = (daddr: number, id: number, more: object = {}): Promise<Reply> =>
    broker.post({ msg_type: 'MSG_SEND_REQ', saddr: 1, daddr, id, payload: id, ...more });
  const request = (type: string, saddr: number, more: object = {}): Promise<Reply> =>
    broker.post({ msg_type: `MSG_${type}_REQ`, saddr, daddr: 5000, ...more });
  /** Receives and frees the next message. @returns its id, or undefined if the queue is empty */
  const receive = async (address: number): Promise<number | undefined> => {
    const { status, json } = await request('RECV', address);
    if (status === 404) return undefined;
    expect(status).to.equal(200);
    expect((await request('FREE', address, { id: json.id })).status).to.equal(200);
    return json.id as number;
  };
  const outcome = ({ status, json }: Reply): unknown =>
    status === 200
      ? 200
      : `${status} ${(json.error as Record<string, string>).reason} ${(json.error as Record<string, string>).outcome}`;

  for (const state of ['no key moved', 'all keys moved'] as const)
    it(`requests are done, or refused as not_done: ${state}`, async () => {
      const address = addresses[0]!;
      for (const id of [1, 2]) expect((await send(address, id)).status).to.equal(200);
      await beginMove(move);
      if (state === 'all keys moved') await moveKeys(move);
      const startedMs = performance.now();
      const replies = await Promise.all([
        send(address, 3),
        send(address, 4, { durability: 'quorum' }),
        send(address, 5, { dedup: true }),
        request('RECV', address),
        request('RECV', address, { wait_ms: 5_000 }),
        request('PEEK', address, { state: 'waiting' }),
        request('STAT', address),
        request('FREE', address, { id: 1 }),
        fetch(`${broker.url}queues/${address}`).then(
          async (reply) => ({ status: reply.status, json: await reply.json() }) as Reply,
        ),
      ]);
      expect(performance.now() - startedMs).to.be.below(patient(1_000));
      const notDone = '503 unavailable not_done';
      expect(replies.map(outcome)).to.deep.equal([200, 200, ...Array.from({ length: 7 }, () => notDone)]);
      await moveKeys(move);
      await endMove(move, primaries);
      const received: (number | undefined)[] = [];
      await until('the queue is empty', async () => {
        received.push(await receive(address));
        return received.at(-1) === undefined;
      });
      expect(received.slice(0, 2)).to.deep.equal([1, 2]);
      expect(received.slice(2).sort()).to.deep.equal([3, 4, undefined]);
      move = { ...move, from: move.to, to: move.from };
    });

  describe('FREE of a message sent with dedup', () => {
    const ADDRESS_KEYS = ['queue', 'leases', 'held', 'seen'];
    const EVERY_KEY = [...ADDRESS_KEYS, 'ended0', 'ended1', 'settings', 'attempts'];
    const states: { what: string; moved: string[]; has: string[] }[] = [
      { what: 'no key moved', moved: [], has: ADDRESS_KEYS },
      ...ADDRESS_KEYS.map((name) => ({ what: `only ${name} moved`, moved: [name], has: ADDRESS_KEYS })),
      { what: 'all but the queue moved', moved: ADDRESS_KEYS.slice(1), has: ADDRESS_KEYS },
      { what: 'all keys moved', moved: ADDRESS_KEYS, has: ADDRESS_KEYS },
      // no key is missing, so the source node runs the script
      { what: 'no key moved, where every possible key exists', moved: [], has: EVERY_KEY },
      { what: 'all keys moved, where every possible key exists', moved: EVERY_KEY, has: EVERY_KEY },
    ];
    /** The contents of each key of the address, on the node that owns the slot. */
    const contents = async (node: StackNode, key: (name: string) => string): Promise<unknown> =>
      Promise.all([
        ask(node.port, 'XRANGE', key('queue'), '-', '+'),
        ask(node.port, 'XPENDING', key('queue'), 'receivers').catch(() => []),
        ...['leases', 'held', 'attempts'].map((name) => ask(node.port, 'ZRANGE', key(name), 0, -1, 'WITHSCORES')),
        ...['seen', 'ended0', 'ended1', 'settings'].map((name) => ask(node.port, 'HGETALL', key(name))),
      ]);

    for (const [nth, { what, moved, has }] of states.entries())
      it(`is done completely, or refused as not_done: ${what}`, async () => {
        const address = freshAddresses[nth]!;
        const key = (name: string): string => `${broker.config.keyPrefix}:{${address}}:${name}`;
        const sendOnce = async (): Promise<void> => {
          const { status } = await send(address, 7, { dedup: true });
          expect(status).to.equal(200);
        };
        await sendOnce();
        const isWhole = has === EVERY_KEY;
        if (isWhole) {
          expect((await request('HELO', address, { settings: { max_queue_length: 1_000 } })).status).to.equal(200);
          const inAnHour = Date.now() + 3_600_000;
          for (const name of ['ended0', 'ended1']) await ask(move.from.port, 'HSET', key(name), 'until', inAnHour);
        }
        expect((await request('RECV', address, isWhole ? { attempt_id: 'a' } : {})).json.id).to.equal(7);
        for (const name of has) expect(await ask(move.from.port, 'EXISTS', key(name)), name).to.equal(1);
        const before = await contents(move.from, key);

        await beginMove(move);
        if (moved.length > 0) await moveNamed(move, moved.map(key));
        const startedMs = performance.now();
        const reply = await request('FREE', address, { id: 7 });
        expect(performance.now() - startedMs).to.be.below(patient(1_000));
        await moveKeys(move);
        await endMove(move, primaries);
        move = { ...move, from: move.to, to: move.from };

        expect(outcome(reply)).to.equal(isWhole ? 200 : '503 unavailable not_done');
        if (reply.status !== 200) {
          expect(await contents(move.from, key), 'nothing was changed').to.deep.equal(before);
          // while the message exists, and after its end
          await sendOnce();
          expect((await request('FREE', address, { id: 7 })).status).to.equal(200);
        }
        for (const name of ['leases', 'held', 'seen', 'attempts'])
          expect(await ask(move.from.port, 'EXISTS', key(name)), name).to.equal(0);
        await sendOnce();
        expect(await receive(address), 'a repeat adds nothing').to.equal(undefined);
      });
  });

  it('a waiting RECV still gets its message', async () => {
    const address = addresses[1]!;
    const waiting = request('RECV', address, { wait_ms: 15_000 });
    await until('the RECV waits', async () => (await send(addresses[2]!, 1)).status === 200);
    await beginMove(move);
    await moveKeys(move);
    await endMove(move, primaries);
    move = { ...move, from: move.to, to: move.from };
    expect((await send(address, 7)).status).to.equal(200);
    expect(await waiting.then(({ status, json }) => [status, json.id])).to.deep.equal([200, 7]);
    expect((await request('FREE', address, { id: 7 })).status).to.equal(200);
    await receive(addresses[2]!);
  });

  it('requests are answered even if the move is cancelled', async () => {
    const address = addresses[3]!;
    expect((await send(address, 1, { dedup: true })).status).to.equal(200);
    await beginMove(move);
    const asked = send(address, 2, { dedup: true });
    await cancelMove(move);
    expect(outcome(await asked)).to.be.oneOf([200, '503 unavailable not_done']);
    expect((await send(address, 3, { dedup: true })).status).to.equal(200);
    const received = [await receive(address), await receive(address), await receive(address)].filter(Boolean);
    expect(received).to.deep.equal(received.length === 2 ? [1, 3] : [1, 2, 3]);
  });

  it('to and fro under load, no message is lost, duplicated or reordered', async () => {
    const loads = WAYS.map((way, i) => new QueueLoad(broker.url, addresses[i]!, way));
    const startedMs = performance.now();
    loads.forEach((load) => load.start());
    const answered = (): number => loads.reduce((sum, load) => sum + load.answered, 0);
    /** Waits until every queue has been used, so that requests meet each step of a move. */
    const pause = async (): Promise<void> => {
      const before = answered();
      await until('requests are answered', () => answered() > before + 2 * loads.length, 10_000);
    };
    const moves = await moveToAndFro(move, (n) => n >= MOVES || performance.now() - startedMs > LOAD_MS, pause);
    const verdicts = await Promise.all(loads.map((load) => load.end()));
    if (moves % 2 === 1) move = { ...move, from: move.to, to: move.from };
    if (process.env.AIZUMI_TEST_SHOW !== undefined)
      console.log({ moves, ms: Math.round(performance.now() - startedMs) }, verdicts);
    for (const { lost, doubled, reordered, unexpected, refused } of verdicts)
      expect({ lost, doubled, reordered, unexpected }).to.deep.equal(
        { lost: [], doubled: [], reordered: [], unexpected: {} },
        JSON.stringify(refused),
      );
    expect(moves).to.be.above(3);
  });

  it('WAIT on the target covers its replicas, for which MIGRATE does not wait', async () => {
    const address = addresses[4]!;
    expect((await send(address, 1)).status).to.equal(200);
    await beginMove(move);
    await moveKeys(move);
    await endMove(move, primaries);
    await replicasHaveAll(move.to.port, 1);
    move = { ...move, from: move.to, to: move.from };
    expect(await receive(address)).to.equal(1);
  });
});
