// A planned fail-over loses nothing (deploy/hand-over.sh; in a Cluster, CLUSTER FAILOVER), and an election compares offsets taken
// after the loss of the primary. The scripts of deploy/ run as processes, with real servers and Sentinels.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { ask } from '../../harness/ask.js';
import { PASSWORD, fieldsOf, startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptedStack } from '../../harness/scripted-stack.js';
import { optionsOf, otherThan, startAnew, startWritersOn, wrongOf } from '../support/stack-writers.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import { sendRequest } from '../../harness/requests.js';
import { startClusterStack } from '../../harness/stacks.js';
import type { StackNode } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';
import { answersMore, readWritten, startWriters } from '../support/writers.js';
import type { Address, Writers } from '../support/writers.js';

const ROUNDS = 2;
/** Writes must be answered again within this time. */
const ANSWERED_MS = 15_000;

describe('a planned fail-over', function () {
  this.timeout(60_000);
  let stack: ScriptedStack;
  let writers: Writers | undefined;
  before(async () => {
    stack = await startScriptedStack();
  });
  after(() => stack.stop());
  afterEach(async () => {
    await writers?.stop();
    writers = undefined;
  });

  async function handOver(old: string): Promise<void> {
    const { code, output } = await stack.run(old, 'hand-over.sh', '20');
    expect(code, output).to.equal(0);
  }

  async function expectNothingLost(): Promise<void> {
    expect((await wrongOf(stack, writers!)).lost).to.deep.equal([]);
  }

  it('by hand-over.sh loses no acknowledged write, and leaves no outcome unknown', async () => {
    writers = await startAnew(stack);
    for (let round = 0; round < ROUNDS; round++) {
      const old = await stack.whole();
      await answersMore(writers, ANSWERED_MS);
      await handOver(old);
      expect((await stack.replication(old)).role).to.equal('slave'); // at once, not only when a Sentinel reconfigures it
      expect(await stack.named()).to.be.oneOf(otherThan(stack, old));
      await answersMore(writers, ANSWERED_MS);
    }
    await expectNothingLost();
    const written = await readWritten(optionsOf(await stack.whole()));
    expect([...writers.refused].filter(([id]) => written.has(id))).to.deep.equal([]);
    // NOREPLICAS comes from the new primary before its replicas are connected
    expect([...new Set(writers.refused.values())]).to.satisfy((messages: string[]) =>
      messages.every((message) => /^(READONLY|NOREPLICAS)/.test(message)),
    );
  });

  it('loses no acknowledged message at any level, and messages refused as not_done were not stored', async () => {
    const sentinels = stack.nodes.map((node) => `${node}:26379`).join(',');
    const broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: `redis+sentinel://:${PASSWORD}@${sentinels}/mymaster`,
    });
    const answers = new Map<number, string>();
    let stopped = false;
    let nextId = 1;
    const senders = (['primary', 'quorum', 'all'] as const).flatMap((durability) =>
      Array.from({ length: 3 }, async () => {
        while (!stopped) {
          const id = nextId++;
          const { status, json } = await broker.post({ ...sendRequest(100, id), durability });
          const { outcome = '' } = (json.error ?? {}) as { outcome?: string };
          answers.set(id, `${status} ${outcome}`);
        }
      }),
    );
    const count = (answer: string): number => [...answers.values()].filter((each) => each === answer).length;
    try {
      await until('enough messages are acknowledged', () => count('200 ') > 100, 20_000);
      await handOver(await stack.whole());
      const before = count('200 ');
      await until('service continues', () => count('200 ') > before + 100, 20_000);
    } finally {
      stopped = true;
      await Promise.all(senders);
      endAllProcesses();
    }
    const entries = (await stack.redis(await stack.whole(), 'XRANGE', 'aizumi:{100}:queue', '-', '+')) as [
      string,
      string[],
    ][];
    const kept = new Set(entries.map(([, fields]) => Number(fields[3])));
    const inAll = (answer: string): number[] => [...answers].flatMap(([id, each]) => (each === answer ? [id] : []));
    expect(
      inAll('200 ').filter((id) => !kept.has(id)),
      'lost',
    ).to.deep.equal([]);
    expect(
      inAll('503 not_done').filter((id) => kept.has(id)),
      'done all the same',
    ).to.deep.equal([]);
  });

  it('does nothing on a replica', async () => {
    const leader = await stack.whole();
    for (const node of otherThan(stack, leader)) {
      const { code, output } = await stack.run(node, 'hand-over.sh');
      expect([code, output]).to.deep.equal([0, 'hand-over: this node does not lead: nothing to do\n']);
    }
    expect(await stack.named()).to.equal(leader);
  });

  it('promotes the replica that is in sync if another one hangs', async () => {
    const old = await stack.whole();
    await stack.redis(old, 'DEL', 'writes'); // the numbers start again at 1
    const [hung, well] = otherThan(stack, old) as [string, string];
    stack.signal(hung, 'redis', 'SIGSTOP');
    try {
      writers = startWritersOn(stack);
      await answersMore(writers, ANSWERED_MS);
      await handOver(old);
      expect(await stack.named()).to.equal(well);
      await answersMore(writers, ANSWERED_MS);
    } finally {
      stack.signal(hung, 'redis', 'SIGCONT');
    }
    await expectNothingLost();
  });

  it('is refused if no replica may be promoted, and writes continue', async () => {
    const leader = await stack.whole();
    for (const node of otherThan(stack, leader)) await stack.redis(node, 'CONFIG', 'SET', 'replica-priority', 0);
    try {
      const { code, output } = await stack.run(leader, 'hand-over.sh', '3');
      expect(code).to.equal(1);
      expect(output).to.include('no replica can be promoted without loss');
      expect(await stack.redis(leader, 'SET', 'goes', 'on')).to.equal('OK');
    } finally {
      for (const node of otherThan(stack, leader)) await stack.redis(node, 'CONFIG', 'SET', 'replica-priority', 100);
    }
    expect(await stack.whole()).to.equal(leader);
  });

  describe('an election', () => {
    const script = shipped('deploy/start-sentinel.sh');
    const infoPeriodMs = Number(/^INFO_PERIOD_MS=(\d+)$/m.exec(shipped('deploy/ask.sh'))?.[1]);
    /** Sentinel checks its periods this often. */
    const TIMER_MS = 100;

    it('follows an INFO taken after the loss, since its period is shorter than down-after', async () => {
      const downAfterMs = [/DOWN_AFTER_MS:-(\d+)/.exec(script)?.[1], downAfterInKubernetes()].map(Number);
      expect(infoPeriodMs + 2 * TIMER_MS).to.be.below(Math.min(...downAfterMs));
      for (const node of stack.nodes) {
        const periods = fieldsOf(await stack.sentinel(node, 'SENTINEL', 'DEBUG'));
        expect(periods['INFO-PERIOD']).to.equal(String(infoPeriodMs));
      }
    });

    it('is won by the replica that received more just before the primary was lost', async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const old = await stack.whole();
        const runIds = await Promise.all(otherThan(stack, old).map(runId));
        // equal offsets are decided by the run id, so `behind` would win by the offsets that Sentinel knew before
        const [behind, ahead] = runIds.sort((a, b) => (a.runId < b.runId ? -1 : 1)) as [Known, Known];
        stack.signal(behind.node, 'redis', 'SIGSTOP');
        await stack.redis(old, 'CLIENT', 'KILL', 'TYPE', 'replica'); // otherwise data in flight would reach it later
        await until('the other replica is in sync again', async () => {
          const { slave_repl_offset: theirs } = await stack.replication(ahead.node);
          return theirs === (await stack.replication(old)).master_repl_offset;
        });
        await stack.redis(old, 'SET', 'late', round);
        await until('the other replica has the late write', async () => {
          const { slave_repl_offset: theirs } = await stack.replication(ahead.node);
          return theirs === (await stack.replication(old)).master_repl_offset;
        });
        stack.signal(old, 'redis', 'SIGKILL');
        stack.signal(behind.node, 'redis', 'SIGCONT');
        const winner = await until(
          'a replica is elected',
          async () => {
            const named = await stack.named();
            return named !== old && named;
          },
          20_000,
        );
        expect(winner).to.equal(ahead.node);
        stack.restart(old);
      }
      await stack.whole();
    });

    interface Known {
      node: string;
      runId: string;
    }
    const runId = async (node: string): Promise<Known> => {
      const info = String(await stack.redis(node, 'INFO', 'server'));
      return { node, runId: /^run_id:(\w+)/m.exec(info)![1]! };
    };
  });
});

function downAfterInKubernetes(): string | undefined {
  return /DOWN_AFTER_MS, value: '(\d+)'/.exec(shipped('k8s/overlays/production/redis.yaml'))?.[1];
}

function shipped(file: string): string {
  return readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
}

describe('a planned fail-over in a Cluster', function () {
  this.timeout(60_000);

  /** OK means that the fail-over has begun. It gives up after 5 s if too few primaries voted in time; then it is retried. */
  async function leads(replica: StackNode): Promise<boolean> {
    expect(await ask(replica.port, 'CLUSTER', 'FAILOVER')).to.equal('OK');
    const inTime = until('the replica is primary', async () => (await replica.role()) === 'primary', 6_000);
    return inTime.catch(() => false);
  }

  it('by CLUSTER FAILOVER on a replica loses no acknowledged write', async () => {
    const stack = await startClusterStack();
    let writers: Writers | undefined;
    try {
      const primary = async (): Promise<Address> => ({ host: '127.0.0.1', port: (await stack.primary()).port });
      writers = startWriters(primary);
      await answersMore(writers, ANSWERED_MS);
      const replica = await stack.replica();
      await until('the replica is primary', () => leads(replica), 30_000);
      await answersMore(writers, ANSWERED_MS);
      await writers.stop();
      await stack.whole();
      const written = await readWritten(await primary());
      expect(writers.answered.filter((id) => !written.has(id))).to.deep.equal([]);
    } finally {
      await writers?.stop();
      await stack.stop();
    }
  });
});
