// A SEND at `quorum` or `all` is acknowledged when that many nodes have it, and never before: with replicas that hang, connections
// that break, a primary that dies, and scripts that Redis forgot.
import { expect } from 'chai';
import { setTimeout as pause } from 'node:timers/promises';
import { ask } from '../../harness/ask.js';
import type { Reply } from '../../harness/broker.js';
import { patient } from '../../harness/patience.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { startSentinelStack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

type Level = 'primary' | 'quorum' | 'all';

/** AIZUMI_DURABILITY_TIMEOUT_MS's default, and the time for the answer to arrive. */
const TIMEOUT_MS = 1_000;
const ANSWERED_MS = patient(TIMEOUT_MS + 100);
/** Replicas confirm once a second, and Redis counts whole seconds. */
const SHORTEST_LAG_MS = '2000';
/** Long enough to see that an answer does not come. */
const NO_ANSWER_MS = 300;

interface Deployment {
  url: string;
  primary: TestServer;
  replicas: [TestServer, TestServer];
  /** Resolves when both replicas are connected and have all that the primary has. */
  whole(): Promise<void>;
  stop(): Promise<void>;
}

async function startReplicated(): Promise<Deployment> {
  const primary = await startRedisServer({ args: ['--repl-diskless-sync-delay', '0'] });
  const follow = ['--replicaof', '127.0.0.1', String(primary.port)];
  const replicas = [await startRedisServer({ args: follow }), await startRedisServer({ args: follow })] as const;
  const isWhole = async (): Promise<boolean> => {
    const info = String(await ask(primary.port, 'INFO', 'replication'));
    const offset = /^master_repl_offset:(\d+)/m.exec(info)?.[1];
    return [...info.matchAll(/state=online,offset=(\d+)/g)].filter(([, theirs]) => theirs === offset).length === 2;
  };
  const deployment: Deployment = {
    url: primary.url,
    primary,
    replicas: [...replicas],
    async whole() {
      await until('both replicas are in step', () => isWhole().catch(() => false), 20_000);
    },
    async stop() {
      await Promise.all([primary, ...replicas].map((server) => server.stop()));
    },
  };
  await deployment.whole();
  return deployment;
}

async function startWatched(): Promise<Deployment> {
  const stack = await startSentinelStack({ downAfterMs: 5_000 });
  const [primary, ...replicas] = stack.nodes as unknown as [TestServer, TestServer, TestServer];
  return { url: stack.url, primary, replicas, whole: () => stack.whole(), stop: () => stack.stop() };
}

interface Timed extends Reply {
  tookMs: number;
}

describe('durability levels', function () {
  this.timeout(60_000);
  let redis: Deployment;
  let nextId = 1;
  const key = 'aizumi:{100}:queue';

  async function startBroker(env: Record<string, string> = {}): Promise<BrokerProcess> {
    const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: redis.url, ...env });
    await until('it serves', async () => (await broker.post(statRequest(1))).status === 200);
    return broker;
  }

  interface Options {
    durability?: Level;
    dedup?: boolean;
    id?: number;
    to?: number;
  }

  async function send(broker: BrokerProcess, { id = nextId++, to = 100, ...options }: Options): Promise<Timed> {
    const askedAt = performance.now();
    const reply = await broker.post({ ...sendRequest(to, id), ...options });
    return { ...reply, tookMs: performance.now() - askedAt };
  }

  /** Ids of the messages that a node has. */
  async function idsOn({ port }: TestServer, stream = key): Promise<number[]> {
    const entries = (await ask(port, 'XRANGE', stream, '-', '+')) as [string, string[]][];
    return entries.map(([, fields]) => Number(fields[3]));
  }

  const countOf = async (server: TestServer, id: number): Promise<number> =>
    (await idsOn(server)).filter((other) => other === id).length;

  function expectNotDurable({ status, json, headers, text, tookMs }: Timed): void {
    const { reason, outcome } = json.error as { reason: string; outcome: string };
    expect(status, text).to.equal(503);
    expect({ reason, outcome }).to.deep.equal({ reason: 'not_durable', outcome: 'unknown' });
    expect(headers.get('retry-after')).to.match(/^[1-9]\d*$/);
    expect(tookMs).to.be.below(ANSWERED_MS);
  }

  function expectDone({ status, text, tookMs }: Timed): void {
    expect(status, text).to.equal(200);
    expect(tookMs).to.be.below(ANSWERED_MS);
  }

  const killDurableConnections = async (): Promise<number> => {
    const list = String(await ask(redis.primary.port, 'CLIENT', 'LIST'));
    const ids = [...list.matchAll(/^id=(\d+) .*name=aizumi-durable /gm)].map(([, id]) => id!);
    for (const id of ids) await ask(redis.primary.port, 'CLIENT', 'KILL', 'ID', id);
    return ids.length;
  };

  const pauseReplicas = (): void => redis.replicas.forEach((replica) => replica.pause());

  afterEach(async () => {
    endAllProcesses();
    for (const server of [redis.primary, ...redis.replicas]) server.resume();
    await redis.whole();
  });

  const shapes = { 'one primary with two replicas': startReplicated, 'the same under Sentinels': startWatched };
  for (const [shape, start] of Object.entries(shapes))
    describe(`of ${shape}`, () => {
      before(async () => (redis = await start()));
      after(() => redis.stop());

      it('quorum is answered when one replica has it, all when both have it', async () => {
        const broker = await startBroker({ AIZUMI_DURABILITY_TIMEOUT_MS: '5000' });
        for (const durability of ['all', 'quorum'] as const) await send(broker, { durability });
        await until(
          'it is known that both have followed',
          async () => (await ask(redis.primary.port, 'EXISTS', 'aizumi:followed')) === 1,
        );
        const [one, other] = redis.replicas;
        pauseReplicas();
        const [atQuorum, atAll] = [nextId++, nextId++];
        const answers: string[] = [];
        const sending = [
          send(broker, { id: atQuorum, durability: 'quorum' }).then(({ status }) => answers.push(`quorum ${status}`)),
          send(broker, { id: atAll, durability: 'all' }).then(({ status }) => answers.push(`all ${status}`)),
        ];
        await pause(NO_ANSWER_MS);
        expect(answers, 'no replica has it').to.deep.equal([]);
        one.resume();
        await until('quorum is answered', () => answers.includes('quorum 200'));
        expect(await countOf(one, atQuorum)).to.equal(1);
        await pause(NO_ANSWER_MS);
        expect(answers, 'one replica has it').to.deep.equal(['quorum 200']);
        other.resume();
        await Promise.all(sending);
        expect(answers).to.deep.equal(['quorum 200', 'all 200']);
        for (const replica of redis.replicas) expect(await countOf(replica, atAll)).to.equal(1);
      });

      it('quorum does without one replica; all too, once that is no longer in sync, and waits for it again when it is back', async () => {
        // a busy machine needs its time to show that the hung one does not lead
        const env = { AIZUMI_REPLICA_MAX_LAG_MS: SHORTEST_LAG_MS, AIZUMI_DURABILITY_TIMEOUT_MS: '2500' };
        const broker = await startBroker(env);
        const [one, other] = redis.replicas;
        expectDone(await send(broker, { durability: 'all' }));
        other.pause();
        expectNotDurable(await send(broker, { durability: 'all' }));
        const done = await until(
          'it is no longer in sync',
          async () => {
            const id = nextId++;
            expectDone(await send(broker, { durability: 'quorum' }));
            const reply = await send(broker, { id, durability: 'all' });
            if (reply.status === 200) return id;
            expectNotDurable(reply);
            return false;
          },
          10_000,
        );
        expect(await countOf(one, done)).to.equal(1);
        expect(broker.lines('a replica is no longer in sync')).to.have.length(1);
        expect(broker.lines('in sync again')).to.have.length(0);

        other.resume();
        await until('it is in sync again', () => broker.lines('a replica is in sync again').length === 1, 10_000);
        const id = nextId++;
        expectDone(await send(broker, { id, durability: 'all' }));
        for (const replica of redis.replicas) expect(await countOf(replica, id)).to.equal(1);
        expect(broker.lines('in sync').map(({ inSync, before }) => [before, inSync])).to.deep.equal([
          [2, 1],
          [1, 2],
        ]);
      });

      it('quorum is not reached without any replica, and its outcome is said to be unknown; primary needs none', async () => {
        const broker = await startBroker({ AIZUMI_REPLICA_MAX_LAG_MS: SHORTEST_LAG_MS });
        await send(broker, { durability: 'quorum' });
        pauseReplicas();
        expectDone(await send(broker, { durability: 'primary' }));
        for (const durability of ['quorum', 'all'] as const) {
          const id = nextId++;
          expectNotDurable(await send(broker, { id, durability }));
          expect(await countOf(redis.primary, id), 'unknown: it is there').to.equal(1);
        }
        expectDone(await send(broker, {}));
        // all never means fewer than a majority, however few replicas keep up
        await until('none is in sync', () => broker.lines('no longer in sync').at(-1)?.inSync === 0, 10_000);
        for (const durability of ['quorum', 'all'] as const) {
          const { status, text } = await send(broker, { durability });
          expect(status, text).to.equal(503);
        }
      });
    });

  describe('hold', () => {
    before(async () => (redis = await startReplicated()));
    after(() => redis.stop());

    it('for a whole broker by its setting, and for one SEND by its field', async () => {
      const [usual, careful] = [await startBroker(), await startBroker({ AIZUMI_DURABILITY: 'quorum' })];
      for (const broker of [usual, careful]) expectDone(await send(broker, { durability: 'all' }));
      pauseReplicas();
      expectDone(await send(usual, {}));
      expectNotDurable(await send(usual, { durability: 'quorum' }));
      expectNotDurable(await send(careful, {}));
      expectNotDurable(await send(careful, { durability: 'all' }));
      expectDone(await send(careful, { durability: 'primary' }));
    });

    it('for the first SEND of a broker, and to a queue that is new', async () => {
      const brokers = await Promise.all([startBroker(), startBroker()]);
      pauseReplicas();
      for (const [i, broker] of brokers.entries())
        expectNotDurable(await send(broker, { durability: i === 0 ? 'quorum' : 'all', to: 1_000 + i }));
    });

    it('for the first SEND on a new connection', async () => {
      const broker = await startBroker();
      expectDone(await send(broker, { durability: 'quorum' }));
      pauseReplicas();
      for (let round = 0; round < 3; round++) {
        expect(await killDurableConnections()).to.equal(1);
        // whatever becomes of it, and of those after it on the new connection
        const replies = [];
        for (let i = 0; i < 2; i++) replies.push(await send(broker, { durability: 'quorum' }));
        for (const { status, text, tookMs } of replies) {
          expect(status, text).to.equal(503);
          expect(tookMs).to.be.below(ANSWERED_MS);
        }
        expectNotDurable(replies.at(-1)!);
      }
    });

    it('for a repeat: it is acknowledged when the replicas have what it repeats', async () => {
      const [first, second] = await Promise.all([startBroker(), startBroker()]);
      for (const broker of [first, second]) expectDone(await send(broker, { durability: 'quorum', dedup: true }));
      const id = nextId++;
      const repeat = (broker: BrokerProcess): Promise<Timed> => send(broker, { id, durability: 'quorum', dedup: true });
      pauseReplicas();
      expectNotDurable(await repeat(first));
      expect(await countOf(redis.primary, id)).to.equal(1);
      expectNotDurable(await repeat(first));
      expectNotDurable(await repeat(second));
      await killDurableConnections();
      await send(first, { durability: 'primary' });
      await until('on a new connection', async () => {
        const reply = await repeat(first);
        expect(reply.status, reply.text).to.equal(503);
        return (reply.json.error as { reason: string }).reason === 'not_durable';
      });
      redis.replicas[0].resume();
      expectDone(await repeat(second));
      expect(await countOf(redis.replicas[0], id), 'at the acknowledgement').to.equal(1);
      expectDone(await repeat(first));
      expect(await countOf(redis.primary, id), 'one message').to.equal(1);
    });

    it('for a repeat of a message that is freed', async () => {
      const broker = await startBroker();
      const to = 2_000;
      const once = { id: nextId++, to, dedup: true };
      expectDone(await send(broker, { ...once, durability: 'quorum' }));
      pauseReplicas();
      await broker.post(recvRequest(to));
      await broker.post({ msg_type: 'MSG_FREE_REQ', saddr: to, daddr: 5000, id: once.id });
      expectNotDurable(await send(broker, { ...once, durability: 'quorum' }));
    });

    it('when a retry is what gets through: the new queue is in the register', async () => {
      const broker = await startBroker();
      expectDone(await send(broker, { durability: 'quorum' }));
      const once = { id: nextId++, to: 3_000, dedup: true, durability: 'quorum' as const };
      pauseReplicas();
      expectNotDurable(await send(broker, once));
      for (const replica of redis.replicas) replica.resume();
      await redis.whole();
      expectDone(await send(broker, once));
      expect(await ask(redis.primary.port, 'ZSCORE', 'aizumi:queues', '3000')).to.equal('3000');
    });

    it('when Redis has lost its scripts: what is sent again then is waited for', async () => {
      const broker = await startBroker();
      for (const to of [4_000, 4_001]) {
        expectDone(await send(broker, { durability: 'quorum', dedup: true }));
        expectDone(await send(broker, { durability: 'quorum', to: to + 100 }));
        await redis.whole();
        pauseReplicas();
        await ask(redis.primary.port, 'SCRIPT', 'FLUSH');
        // deduplicated, and to a new queue: both are scripts
        const reply = await send(
          broker,
          to === 4_000 ? { durability: 'quorum', dedup: true } : { durability: 'quorum', to },
        );
        expect(reply.status, `an acknowledgement, and no replica has it: ${reply.text}`).to.equal(503);
        expect(reply.tookMs).to.be.below(ANSWERED_MS);
        for (const replica of redis.replicas) replica.resume();
        await redis.whole();
      }
    });

    it('while the durable connections are cut again and again: nothing is acknowledged that no replica has', async () => {
      const broker = await startBroker();
      const to = 5_000;
      expectDone(await send(broker, { durability: 'quorum', to }));
      pauseReplicas();
      let cuts = 0;
      const end = performance.now() + 2_000;
      const cut = async (): Promise<void> => {
        while (performance.now() < end) cuts += await killDurableConnections();
      };
      const cutting = cut();
      const replies = await Promise.all(
        Array.from({ length: 32 }, async (_, n) => {
          const mine: Timed[] = [];
          while (performance.now() < end) {
            mine.push(await send(broker, { durability: n % 2 ? 'quorum' : 'all', dedup: n % 3 === 0, to }));
            await pause(20);
          }
          return mine;
        }),
      );
      await cutting;
      expect(cuts).to.be.above(5);
      expect(replies.flat().length).to.be.above(32); // each of them more than once
      for (const { status, text, tookMs } of replies.flat()) {
        expect(status, text).to.equal(503);
        expect(tookMs).to.be.below(ANSWERED_MS);
      }
      for (const replica of redis.replicas) replica.resume();
      await until('it serves again', async () => (await send(broker, { durability: 'all', to })).status === 200);
    });

    it('and are cheap: one WAIT confirms many SENDs', async () => {
      const broker = await startBroker({ AIZUMI_DURABILITY: 'quorum', AIZUMI_DURABILITY_TIMEOUT_MS: '5000' });
      await send(broker, {});
      await ask(redis.primary.port, 'CONFIG', 'RESETSTAT');
      for (const replica of redis.replicas) replica.pause();
      const first = send(broker, {});
      await until('its WAIT waits', async () =>
        String(await ask(redis.primary.port, 'INFO', 'clients')).includes('blocked_clients:1'),
      );
      const behind = Array.from({ length: 64 }, () => send(broker, {}));
      await pause(200); // for all of them to reach the broker
      for (const replica of redis.replicas) replica.resume();
      for (const reply of await Promise.all([first, ...behind])) expectDone(reply);
      const stats = String(await ask(redis.primary.port, 'INFO', 'commandstats'));
      const calls = (command: string): number => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1]);
      expect(calls('xadd')).to.equal(65);
      expect(calls('wait')).to.be.within(2, 8);
    });

    it('over more nodes than there are, where the operator says so', async () => {
      const broker = await startBroker({ AIZUMI_REPLICATION_NODES: '5' });
      expectDone(await send(broker, { durability: 'quorum' }));
      redis.replicas[1].pause();
      expectNotDurable(await send(broker, { durability: 'quorum' }));
      redis.replicas[1].resume();
      await redis.whole();
      expectDone(await send(broker, { durability: 'quorum' }));
      const toofew = await startBroker({ AIZUMI_REPLICATION_NODES: '7' });
      for (const durability of ['quorum', 'all'] as const) expectNotDurable(await send(toofew, { durability }));
    });

    it('after the primary was restarted, when every replica has followed it and not before', async () => {
      // a replica that has not may be elected over those that have: its offset is of the time before
      const env = { AIZUMI_REPLICATION_NODES: '3' };
      const broker = await startBroker(env);
      expectDone(await send(broker, { durability: 'quorum' }));
      const [, hung] = redis.replicas;
      hung.pause();
      await redis.primary.kill9();
      await redis.primary.restart();
      const answers: string[] = [];
      const refused = async (asked: BrokerProcess): Promise<boolean> => {
        const { status, json } = await send(asked, { durability: 'quorum' });
        const { reason = 'acknowledged', message = '' } = (json.error ?? {}) as { reason?: string; message?: string };
        answers.push(`${status} ${reason}`);
        return /1 of 2 .* until each has caught up/.test(message);
      };
      await until('the other replica confirms alone', () => refused(broker), 10_000);
      const late = await startBroker(env);
      expect(await refused(late), 'a worker that was not there before').to.equal(true);
      expect(answers).to.not.include('200 acknowledged');
      hung.resume();
      await redis.whole();
      await until('served again', async () => (await send(broker, { durability: 'quorum' })).status === 200, 10_000);
      hung.pause();
      // a busy machine needs its time to show that the hung one does not lead
      const later = await startBroker({ ...env, AIZUMI_DURABILITY_TIMEOUT_MS: '10000' });
      expectDone(await send(later, { durability: 'quorum' }));
    });

    it('without noise: replicas that keep up are not logged, with the shortest lag that may be set', async () => {
      const broker = await startBroker({ AIZUMI_REPLICA_MAX_LAG_MS: SHORTEST_LAG_MS });
      const quiet = broker.log.length;
      await pause(4_000);
      expect(broker.log.slice(quiet)).to.deep.equal([]);
    });

    it('while the primary hangs: every SEND is answered in time, and the service resumes with it', async () => {
      const broker = await startBroker();
      expectDone(await send(broker, { durability: 'quorum' }));
      redis.primary.pause();
      const replies: Promise<Timed>[] = [];
      for (let i = 0; i < 50; i++) {
        replies.push(send(broker, { durability: i % 2 ? 'quorum' : 'all', dedup: i % 3 === 0 }));
        await pause(60);
      }
      for (const { status, text, tookMs } of await Promise.all(replies)) {
        expect(status, text).to.equal(503);
        expect(tookMs, text).to.be.below(ANSWERED_MS);
      }
      redis.primary.resume();
      const resumedAt = performance.now();
      await until('it serves again', async () => (await send(broker, { durability: 'quorum' })).status === 200);
      expect(performance.now() - resumedAt).to.be.below(patient(1_500));
    });

    for (const durability of ['quorum', 'all'] as const)
      it(`when the primary dies under load: what was acknowledged at ${durability} is on ${durability === 'all' ? 'both replicas' : 'a replica'}`, async () => {
        const broker = await startBroker({ AIZUMI_DURABILITY: durability });
        const to = durability === 'all' ? 6_000 : 6_001;
        const acknowledged: number[] = [];
        let stopped = false;
        const load = Array.from({ length: 32 }, async (_, n) => {
          while (!stopped) {
            const id = nextId++;
            const { status } = await send(broker, { id, to, dedup: n % 4 === 0 });
            if (status === 200) acknowledged.push(id);
          }
        });
        await until('there is something to lose', () => acknowledged.length > 300, 20_000);
        await redis.primary.kill9();
        stopped = true;
        await Promise.all(load);
        const kept = await Promise.all(redis.replicas.map((replica) => idsOn(replica, `aizumi:{${to}}:queue`)));
        const sets = kept.map((ids) => new Set(ids));
        const lost = acknowledged.filter((id) =>
          durability === 'all' ? !sets.every((ids) => ids.has(id)) : !sets.some((ids) => ids.has(id)),
        );
        expect(lost).to.deep.equal([]);
        await redis.primary.restart();
      });
  });
});

describe('durability levels without replicas', function () {
  this.timeout(30_000);

  it('are all the same, and none waits', async () => {
    const single = await startRedisServer();
    try {
      const broker = await startBrokerProcess({ AIZUMI_REDIS_URL: single.url });
      for (const [id, durability] of ['primary', 'quorum', 'all'].entries())
        for (const dedup of [false, true])
          expect((await broker.post({ ...sendRequest(100, id), durability, dedup })).status).to.equal(200);
      expect(await ask(single.port, 'XLEN', 'aizumi:{100}:queue')).to.equal(6);
      expect(String(await ask(single.port, 'INFO', 'commandstats'))).not.to.match(
        /cmdstat_wait:calls=(?!1,)/, // one at the start asks for the right to it
      );
    } finally {
      endAllProcesses();
      await single.stop();
    }
  });
});
