// Primaries that die, hang or hand over, under Sentinels and in a Redis Cluster: service resumes by itself on every connection,
// and acknowledged messages are kept.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { ask } from '../../harness/ask.js';
import type { Reply } from '../../harness/broker.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import {
  freeRequest,
  gbyeRequest,
  heloRequest,
  recvRequest,
  sendRequest,
  statRequest,
} from '../../harness/requests.js';
import { startClusterStack, startSentinelStack } from '../../harness/stacks.js';
import type { Stack, StackNode } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

const LEVELS = ['primary', 'quorum', 'all'] as const;
type Level = (typeof LEVELS)[number];

/** Service must resume within this time of a fault, with down-after 1000 ms. */
const RESUMED_MS = 5_000;
/** No request may take longer, whatever happens. */
const ANSWERED_MS = 1_200;

interface Timed extends Reply {
  tookMs: number;
}

let nextId = 1;

async function timed(broker: BrokerProcess, request: object): Promise<Timed> {
  const askedAt = performance.now();
  const reply = await broker.post(request);
  return { ...reply, tookMs: performance.now() - askedAt };
}

interface Load {
  /** Ids acknowledged at each level, by address. */
  acknowledged: Record<Level, Map<number, number[]>>;
  /** Replies other than 200 or a correct 503, and late ones. */
  wrong: string[];
  /** Reasons and outcomes of the 503s. */
  excuses: Set<string>;
  /** When a request to the address at the level was last answered 200, and when anything else; performance.now(). */
  lastDone: Map<string, number>;
  lastFailed: Map<string, number>;
  stop(): Promise<void>;
}

/** Starts one sender for each address and level. */
function startLoad(broker: BrokerProcess, addresses: readonly number[]): Load {
  const acknowledged = { primary: new Map(), quorum: new Map(), all: new Map() } as Load['acknowledged'];
  const wrong: string[] = [];
  const excuses = new Set<string>();
  const [lastDone, lastFailed] = [new Map<string, number>(), new Map<string, number>()];
  let stopped = false;
  const senders = addresses.flatMap((to) =>
    LEVELS.map(async (durability) => {
      const mine: number[] = [];
      acknowledged[durability].set(to, mine);
      while (!stopped) {
        const id = nextId++;
        const reply = await timed(broker, { ...sendRequest(to, id), durability, dedup: id % 3 === 0 });
        const { status, text, tookMs } = reply;
        (status === 200 ? lastDone : lastFailed).set(`${to} ${durability}`, performance.now());
        if (status === 200) mine.push(id);
        else if (status === 503) excuses.add((reply.json.error as { message: string }).message);
        else wrong.push(`${to} ${durability}: ${text}`);
        if (tookMs > patient(ANSWERED_MS)) wrong.push(`${to} ${durability} after ${Math.round(tookMs)} ms: ${text}`);
        await pause(20);
      }
    }),
  );
  return {
    acknowledged,
    wrong,
    excuses,
    lastDone,
    lastFailed,
    async stop() {
      stopped = true;
      await Promise.all(senders);
    },
  };
}

/** Waits until a request to every address has been answered 200 at every level since `sinceMs`. @returns how long that took */
async function resumed(load: Load, addresses: readonly number[], sinceMs: number, withinMs = 15_000): Promise<number> {
  const missing = (): string[] =>
    addresses
      .flatMap((to) => LEVELS.map((level) => `${to} ${level}`))
      .filter((sender) => (load.lastDone.get(sender) ?? 0) <= Math.max(sinceMs, load.lastFailed.get(sender) ?? 0));
  await until('every sender is acknowledged', () => missing().length === 0, withinMs).catch((error: unknown) => {
    throw new Error(`${String(error)}; not: ${missing().join(', ')}; ${[...load.excuses].join('; ')}`);
  });
  return performance.now() - sinceMs;
}

/** Until a worker has marked it as caught up, `quorum` is refused if the node is lost. */
const untilFollowed = ({ port }: StackNode): Promise<unknown> =>
  until('all nodes are marked as caught up', async () => String(await ask(port, 'KEYS', '*followed')) !== '');

/** Receives and frees with several receivers until the queues are empty. @returns the ids */
async function drain(broker: BrokerProcess, address: number): Promise<Set<number>> {
  const ids = new Set<number>();
  const receive = async (): Promise<boolean> => {
    const { status, json } = await broker.post(recvRequest(address));
    if (status !== 200) return status === 404;
    ids.add(json.id as number);
    await broker.post(freeRequest(address, json.id as number));
    return false;
  };
  await Promise.all(Array.from({ length: 16 }, () => until(`queue ${address} is empty`, receive, 30_000)));
  return ids;
}

async function expectKept(broker: BrokerProcess, load: Load, levels: readonly Level[]): Promise<void> {
  for (const address of load.acknowledged.primary.keys()) {
    const there = await drain(broker, address);
    for (const level of levels) {
      const ids = load.acknowledged[level].get(address)!;
      expect(ids.length, `acknowledged at ${level}`).to.be.above(5);
      expect(
        ids.filter((id) => !there.has(id)),
        `lost, of those acknowledged at ${level}`,
      ).to.deep.equal([]);
    }
  }
}

describe('fail-over', function () {
  this.timeout(90_000);
  let stack: Stack;
  let broker: BrokerProcess;
  let load: Load | undefined;

  async function startBroker(env: Record<string, string> = {}): Promise<void> {
    broker = await startBrokerProcess({ AIZUMI_REDIS_URL: stack.url, ...env });
    await until('the broker serves requests', async () => (await broker.post(statRequest(1))).status === 200);
  }

  afterEach(async () => {
    await load?.stop().catch(() => undefined);
    load = undefined;
    endAllProcesses();
    await stack.stop();
  });

  describe('under Sentinels', () => {
    const ADDRESSES = [100];
    const faults: Record<string, (primary: StackNode) => void | Promise<void>> = {
      'kill -9': (primary) => primary.kill9(),
      SIGSTOP: (primary) => primary.pause(),
    };
    for (const [fault, strike] of Object.entries(faults))
      it(`after ${fault} of the primary, service resumes by itself at every level, and loses no message`, async () => {
        stack = await startSentinelStack();
        await startBroker();
        load = startLoad(broker, ADDRESSES);
        await until('the broker is under load', () => load!.acknowledged.all.get(100)!.length > 30);
        const old = await stack.primary();
        await untilFollowed(old);
        await strike(old);
        const struckAt = performance.now();
        await until('requests fail', () => load!.lastFailed.size === LEVELS.length, 3_000);
        const tookMs = await resumed(load, ADDRESSES, struckAt);
        expect((await timed(broker, recvRequest(1))).status).to.equal(404);
        expect((await fetch(`${broker.url}readyz`)).status).to.equal(200);
        const primary = await stack.primary();
        expect(primary.port).not.to.equal(old.port);
        expect(tookMs).to.be.below(patient(RESUMED_MS));

        // the old primary comes back and still acts as a primary
        if (fault === 'SIGSTOP') old.resume();
        else await old.restart();
        await until('the old primary is a replica', async () => (await old.role()) === 'replica', 15_000);
        await resumed(load, ADDRESSES, performance.now(), 3_000);
        await load.stop();
        await stack.whole();
        expect(load.wrong).to.deep.equal([]);
        const clients = String(await ask(old.port, 'CLIENT', 'LIST'));
        expect(clients, 'connections to the old primary').not.to.match(/name=aizumi(?!-check)/);
        await expectKept(broker, load, ['quorum', 'all']);
        expect(
          broker.lines('Redis is away').length,
          broker
            .lines('Redis is away')
            .map(({ reason }) => reason)
            .join('\n'),
        ).to.be.within(1, 6);
      });

    it('no write reaches an old primary that resumes', async () => {
      stack = await startSentinelStack();
      await startBroker();
      const old = await stack.primary();
      for (const durability of LEVELS) await broker.post({ ...sendRequest(100, nextId++), durability });
      old.pause();
      await until('another node is primary', async () => (await stack.primary()).port !== old.port, 10_000);
      await until(
        'the broker serves requests',
        async () => (await broker.post(sendRequest(100, nextId++))).status === 200,
        10_000,
      );
      load = startLoad(broker, [100]);
      await resumed(load, [100], performance.now());
      old.resume();
      await until('the old primary is a replica', async () => (await old.role()) === 'replica', 15_000);
      await resumed(load, [100], performance.now());
      await load.stop();
      expect(load.wrong).to.deep.equal([]);
      await expectKept(broker, load, LEVELS);
    });

    it('connections that were idle during it also go to the new primary', async () => {
      stack = await startSentinelStack();
      await startBroker();
      for (const durability of LEVELS) await broker.post({ ...sendRequest(100, nextId++), durability });
      const old = await stack.primary();
      old.pause();
      await until('another node is primary', async () => (await stack.primary()).port !== old.port, 10_000);
      old.resume();
      await until('the old primary is a replica', async () => (await old.role()) === 'replica', 15_000);
      for (const durability of LEVELS) {
        const since = performance.now();
        const request = { ...sendRequest(100, nextId++), durability };
        await until(`a SEND at ${durability} is acknowledged`, async () => (await broker.post(request)).status === 200);
        expect(performance.now() - since, durability).to.be.below(patient(1_500));
      }
    });

    it('a quorum does not shrink: dead replicas still count, also for a broker that starts without them', async () => {
      stack = await startSentinelStack();
      const [primary, ...replicas] = stack.nodes as [StackNode, StackNode, StackNode];
      await ask(primary.port, 'CONFIG', 'SET', 'min-replicas-to-write', 0);
      await Promise.all(replicas.map((replica) => replica.kill9()));
      await startBroker();
      const deadline = performance.now() + 7_000; // longer than the interval at which the worker counts nodes
      while (performance.now() < deadline) {
        for (const durability of ['quorum', 'all'] as const) {
          const { status, text } = await broker.post({ ...sendRequest(100, nextId++), durability });
          expect(status, text).to.equal(503);
        }
      }
      expect((await broker.post(sendRequest(100, nextId++))).status).to.equal(200);
    });
  });

  describe('in a Redis Cluster', () => {
    /** Addresses of each shard, by the port of its primary. */
    async function addressesByShard(): Promise<Map<number, number[]>> {
      const slots = (await ask(stack.nodes[0]!.port, 'CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
      const shards = new Map<number, number[]>();
      for (let address = 100; address < 160; address++) {
        const slot = Number(await ask(stack.nodes[0]!.port, 'CLUSTER', 'KEYSLOT', `aizumi:{${address}}:queue`));
        const port = slots.find(([from, to]) => slot >= from && slot <= to)![2][1];
        shards.set(port, [...(shards.get(port) ?? []), address]);
      }
      return shards;
    }

    /** So that the loss of one shard does not stop the others. */
    const serveTheRest = (): Promise<unknown> =>
      Promise.all(stack.nodes.map(({ port }) => ask(port, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'no')));

    it('the whole protocol works without one, over all slots', async () => {
      stack = await startClusterStack();
      // 300 at once: on a busy machine replicas are late, which is not what this test is about
      await startBroker({ AIZUMI_DURABILITY_TIMEOUT_MS: '20000' });
      const addresses = Array.from({ length: 300 }, (_, i) => i * 7_919);
      const post = async (request: object, status = 200): Promise<Record<string, any>> => {
        // on a busy machine the connections to all nodes take longer than a request may
        const reply = await until('the request is done, or its outcome final', async () => {
          const answered = await broker.post(request);
          return (answered.json.error as { outcome?: string } | undefined)?.outcome === 'not_done' ? false : answered;
        });
        expect(reply.status, `${JSON.stringify(request)} → ${reply.text}`).to.equal(status);
        return reply.json;
      };
      await Promise.all(
        addresses.map(async (address, i) => {
          const durability = LEVELS[i % 3];
          if (i % 2) await post(heloRequest(address));
          for (const dedup of [false, true])
            await post({ ...sendRequest(address, 1, { i, dedup }), durability, dedup: dedup || undefined });
          await post({ ...sendRequest(address, 1, { i, dedup: true }), durability, dedup: true }); // a repeat
          await post({ ...sendRequest(address, 1, 'other'), durability, dedup: true }, 409);
          expect((await post(statRequest(address))).payload.queue).to.include({ waiting: 2, leased: 0 });
          expect(await post(recvRequest(address))).to.deep.include({ id: 1, payload: { i, dedup: false } });
          await post(gbyeRequest(address)); // returns it
          for (const dedup of [false, true]) {
            expect(await post(recvRequest(address))).to.deep.include({ id: 1, payload: { i, dedup } });
            await post(freeRequest(address, 1));
          }
          await post(freeRequest(address, 1), 404);
          await post(recvRequest(address), 404);
        }),
      );
      expect((await post(statRequest(0))).payload.broker.queues).to.equal(addresses.length);
      const sizes = await Promise.all(stack.nodes.slice(0, 3).map(({ port }) => ask(port, 'DBSIZE')));
      for (const size of sizes) expect(size).to.be.above(100);
      await Promise.all(addresses.map((address) => post(gbyeRequest(address))));
      expect((await post(statRequest(0))).payload).to.deep.include({ queue: null });
      await post({ msg_type: 'MSG_PUSH_REQ' }, 501);
      const left = await Promise.all(stack.nodes.slice(0, 3).map(({ port }) => ask(port, 'KEYS', '*:queue*')));
      expect(left.flat()).to.deep.equal([]);
    });

    it('after kill -9 of a primary, its addresses are served again by themselves, and others are not disturbed', async () => {
      stack = await startClusterStack({ replicasEach: 2 });
      await serveTheRest();
      await startBroker();
      const shards = await addressesByShard();
      const victim = await stack.primary();
      const struck = shards.get(victim.port)!.slice(0, 2);
      const others = [...shards].filter(([port]) => port !== victim.port).map(([, [address]]) => address!);
      load = startLoad(broker, [...struck, ...others]);
      await resumed(load, [...struck, ...others], performance.now());
      await untilFollowed(victim);
      await pause(500);
      load.lastFailed.clear();
      await victim.kill9();
      const struckAt = performance.now();
      await until('requests fail', () => load!.lastFailed.size >= LEVELS.length, 3_000);
      const tookMs = await resumed(load, struck, struckAt);
      await pause(1_000);
      await load.stop();
      const disturbed = [...load.lastFailed.keys()].filter((sender) => others.includes(Number(sender.split(' ')[0])));
      expect(load.wrong).to.deep.equal([]);
      expect(disturbed, 'addresses of other shards').to.deep.equal([]);
      expect(tookMs).to.be.below(patient(RESUMED_MS));
      await expectKept(broker, load, ['quorum', 'all']);
    });

    it('after SIGSTOP of a primary as well, and again after it has resumed', async () => {
      stack = await startClusterStack({ replicasEach: 2 });
      await serveTheRest();
      await startBroker();
      const victim = await stack.primary();
      const struck = (await addressesByShard()).get(victim.port)!.slice(0, 2);
      load = startLoad(broker, struck);
      await resumed(load, struck, performance.now());
      await untilFollowed(victim);
      await pause(500);
      victim.pause();
      const struckAt = performance.now();
      await until('requests fail', () => load!.lastFailed.size >= LEVELS.length, 3_000);
      const tookMs = await resumed(load, struck, struckAt);
      victim.resume();
      await until('the old primary is a replica', async () => (await victim.role()) === 'replica', 15_000);
      await resumed(load, struck, performance.now());
      await load.stop();
      expect(load.wrong).to.deep.equal([]);
      expect(tookMs).to.be.below(patient(RESUMED_MS));
      await expectKept(broker, load, ['quorum', 'all']);
    });

    it('by hand (CLUSTER FAILOVER), service continues at every level without loss', async () => {
      stack = await startClusterStack();
      await startBroker();
      const victim = await stack.primary();
      const addresses = (await addressesByShard()).get(victim.port)!.slice(0, 2);
      load = startLoad(broker, addresses);
      await resumed(load, addresses, performance.now());
      await pause(500);
      for (let round = 0; round < 2; round++) {
        const successor = await stack.replica();
        await ask(successor.port, 'CLUSTER', 'FAILOVER');
        await until('the successor is primary', async () => (await successor.role()) === 'primary', 10_000);
        const tookMs = await resumed(load, addresses, performance.now());
        expect(tookMs).to.be.below(patient(2_500));
        await until('the old primary is a replica', () => stack.replica().catch(() => false), 10_000);
        await pause(1_000); // so that the next fail-over starts from steady service
      }
      await load.stop();
      expect(load.wrong).to.deep.equal([]);
      expect([...load.excuses].join('\n'), 'MOVED is followed, not handed on').not.to.match(/moved/i);
      await expectKept(broker, load, LEVELS);
    });

    it('a quorum does not shrink: the dead primary still counts until it is back', async () => {
      stack = await startClusterStack();
      await Promise.all(stack.nodes.map(({ port }) => ask(port, 'CONFIG', 'SET', 'min-replicas-to-write', 0)));
      await startBroker();
      const victim = await stack.primary();
      const [address] = (await addressesByShard()).get(victim.port)!;
      const send = (durability: Level, to = broker): Promise<Reply> =>
        to.post({ ...sendRequest(address!, nextId++), durability });
      for (const durability of LEVELS) expect((await send(durability)).status).to.equal(200);
      await victim.kill9();
      await until('the replica has taken over', async () => (await send('primary')).status === 200, 15_000);
      // one worker that has seen the complete shard, and one that has not
      const newcomer = await startBrokerProcess({ AIZUMI_REDIS_URL: stack.url });
      const deadline = performance.now() + 7_000; // longer than the interval at which the worker counts nodes
      while (performance.now() < deadline) {
        for (const durability of ['quorum', 'all'] as const) {
          for (const to of [broker, newcomer]) {
            const { status, text } = await send(durability, to);
            expect(status, `there is one node of two: ${text}`).to.equal(503);
          }
        }
      }
      await victim.restart();
      await until('the shard is complete again', async () => (await send('quorum')).status === 200, 15_000);
    });
  });
});
