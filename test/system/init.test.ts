// deploy/init.sh as PID 1 of Redis and Sentinel: how it reacts to SIGTERM, with real servers and Sentinels, and that it leaves no
// zombies.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { fieldsOf, startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptedStack } from '../../harness/scripted-stack.js';
import { otherThan, startAnew, wrongOf } from '../support/stack-writers.js';
import { until } from '../../harness/until.js';
import { answersMore } from '../support/writers.js';
import type { Writers } from '../support/writers.js';

const KILLED_BY_TERM = 128 + 15;
const KILLED = 128 + 9;
/** Writes must be answered again within this time. */
const ANSWERED_MS = 40_000;

describe('a Redis node on SIGTERM', function () {
  this.timeout(90_000);
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
  // a failed test must not make the following ones fail
  afterEach('everything runs', async function () {
    if (this.currentTest?.state === 'failed') await stack.recover();
  });

  /** @returns a function that reads the program's log from here on */
  const logOf = (node: string, program: 'redis' | 'sentinel'): (() => string) => {
    const { length } = stack.log(node, program);
    return () => stack.log(node, program).slice(length);
  };

  async function expectNothingLost(): Promise<void> {
    expect(await wrongOf(stack, writers!)).to.deep.equal({ lost: [], doneAllTheSame: [] });
  }

  /** Runs the action while no replica may be elected: a hand-over of this node then tries until half of its time is up. */
  async function whileNoneMayBeElected(leader: string, action: () => Promise<void>): Promise<void> {
    for (const node of otherThan(stack, leader)) await stack.redis(node, 'CONFIG', 'SET', 'replica-priority', 0);
    try {
      await action();
    } finally {
      for (const node of otherThan(stack, leader)) await stack.redis(node, 'CONFIG', 'SET', 'replica-priority', 100);
    }
  }

  /** Ids of the node's processes that run this script of deploy/. */
  const pidsOf = (script: string, node: string): number[] =>
    execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(`deploy/${script}`))
      .map((line) => Number.parseInt(line, 10))
      .filter((pid) => environmentOf(pid).includes(`\0SELF=${node}\0`));

  it('hands over first if it is primary: nothing is lost, and it is a replica after its restart', async () => {
    const old = await stack.whole();
    writers = await startAnew(stack);
    await answersMore(writers, ANSWERED_MS);
    const log = logOf(old, 'redis');
    stack.tell(old, 'redis');
    expect(await stack.ended(old, 'redis'), log()).to.equal(0);
    expect(log())
      .to.match(/hand-over: \S+ leads, after \d+ ms without writes/)
      .and.not.include('WARNING');
    expect(await stack.named()).to.be.oneOf(otherThan(stack, old));
    await answersMore(writers, ANSWERED_MS);
    stack.restart(old);
    expect(await stack.whole()).not.to.equal(old);
    expect(log()).to.include('start: as a replica of');
    await expectNothingLost();
  });

  it('hands over if its Sentinel is stopped at the same time, as in a pod', async () => {
    const old = await stack.whole();
    writers = await startAnew(stack);
    await answersMore(writers, ANSWERED_MS);
    stack.tell(old, 'sentinel');
    stack.tell(old, 'redis');
    expect(await stack.ended(old, 'sentinel')).to.equal(0);
    // the Sentinel ended only after the hand-over: the workers' fence needs it
    expect((await stack.replication(old)).role).not.to.equal('master');
    expect(await stack.ended(old, 'redis')).to.equal(0);
    expect(await stack.named()).to.be.oneOf(otherThan(stack, old));
    await answersMore(writers, ANSWERED_MS);
    stack.restart(old, 'sentinel');
    stack.restart(old);
    await expectNothingLost();
  });

  it('ends at once if it is a replica', async () => {
    const leader = await stack.whole();
    const [replica] = otherThan(stack, leader) as [string];
    const log = logOf(replica, 'redis');
    stack.tell(replica, 'redis');
    expect(await stack.ended(replica, 'redis')).to.equal(0);
    expect(log()).to.include('this node does not lead: nothing to do');
    stack.restart(replica);
    expect(await stack.whole()).to.equal(leader);
  });

  it('stays primary until it ends if no replica may be promoted', async () => {
    const leader = await stack.whole();
    await whileNoneMayBeElected(leader, async () => {
      const log = logOf(leader, 'redis');
      stack.tell(leader, 'redis');
      expect(await stack.ended(leader, 'redis')).to.equal(0);
      expect(log()).to.include('no replica can be promoted without loss');
    });
    stack.restart(leader);
    await stack.whole(60_000);
  });

  it('ends at once on a second SIGTERM, and the INFO period of Sentinel is restored', async () => {
    const leader = await stack.whole();
    await whileNoneMayBeElected(leader, async () => {
      const log = logOf(leader, 'redis');
      stack.tell(leader, 'redis');
      await until('the hand-over is running', () => pidsOf('hand-over.sh', leader).length > 0);
      stack.tell(leader, 'redis');
      expect(await stack.ended(leader, 'redis')).to.equal(0);
      expect(log()).not.to.include('no replica can be promoted');
      // a Sentinel that has just restarted has it a moment later
      const period = async (node: string): Promise<string | undefined> =>
        fieldsOf(await stack.sentinel(node, 'SENTINEL', 'DEBUG').catch(() => []))['INFO-PERIOD'];
      for (const node of stack.nodes)
        await until('the period is restored', async () => (await period(node)) === '500', 30_000);
    });
    stack.restart(leader);
    await stack.whole(60_000);
  });

  it('ends even if its hand-over is killed', async () => {
    const leader = await stack.whole();
    await whileNoneMayBeElected(leader, async () => {
      stack.tell(leader, 'redis');
      await until('the hand-over is running', () => pidsOf('hand-over.sh', leader).length > 0);
      for (const pid of pidsOf('hand-over.sh', leader)) kill(pid);
      expect(await stack.ended(leader, 'redis')).to.equal(0);
    });
    for (const node of stack.nodes)
      await until('the period is restored', async () => {
        const periods = fieldsOf(await stack.sentinel(node, 'SENTINEL', 'DEBUG').catch(() => []));
        return periods['INFO-PERIOD'] === '500';
      });
    stack.restart(leader);
    await stack.whole(60_000);
  });

  it('ends with the exit code of its server if that dies during the hand-over', async () => {
    const leader = await stack.whole();
    await whileNoneMayBeElected(leader, async () => {
      const pid = /^process_id:(\d+)/m.exec(String(await stack.redis(leader, 'INFO', 'server')))![1];
      stack.tell(leader, 'redis');
      await until('the hand-over is running', () => pidsOf('hand-over.sh', leader).length > 0);
      kill(Number(pid));
      expect(await stack.ended(leader, 'redis')).to.equal(KILLED);
    });
    stack.restart(leader);
    await stack.whole(60_000);
  });

  it('ends while it waits for Sentinels at its start', async () => {
    const leader = await stack.whole();
    const [replica] = otherThan(stack, leader) as [string];
    // the Sentinel beside the primary ends only on a second SIGTERM
    for (let times = 0; times < 2; times++) for (const node of stack.nodes) stack.tell(node, 'sentinel');
    for (const node of stack.nodes) expect(await stack.ended(node, 'sentinel')).to.equal(0);
    stack.tell(replica, 'redis');
    await stack.ended(replica, 'redis');
    const log = logOf(replica, 'redis');
    stack.restart(replica);
    await until('the node waits', () => log().includes('waiting: 0 Sentinels answer'));
    stack.tell(replica, 'redis');
    expect(await stack.ended(replica, 'redis')).to.equal(KILLED_BY_TERM);
    for (const node of stack.nodes) stack.restart(node, 'sentinel');
    stack.restart(replica);
    expect(await stack.whole()).to.equal(leader);
  });

  for (const [what, programs] of [
    ['everything is stopped, as by `scale --replicas 0`', ['sentinel', 'redis']],
    ['all Redis nodes are stopped, as by `docker compose stop`', ['redis']],
  ] as const)
    it(`ends at once if no node can take over: ${what}`, async () => {
      const leader = await stack.whole();
      writers = await startAnew(stack);
      await answersMore(writers, ANSWERED_MS);
      const log = logOf(leader, 'redis');
      for (const node of stack.nodes) for (const program of programs) stack.tell(node, program);
      for (const node of stack.nodes) expect(await stack.ended(node, 'redis')).to.equal(0);
      expect(log()).not.to.match(/no replica can be promoted|did not end within/);
      for (const program of programs) {
        for (const node of stack.nodes) await stack.ended(node, program);
        for (const node of stack.nodes) stack.restart(node, program);
      }
      await stack.whole(60_000);
      await answersMore(writers, ANSWERED_MS);
      await expectNothingLost();
    });

  it('does not hand the server any child process that the server does not know', () => {
    for (const node of stack.nodes)
      for (const program of ['redis', 'sentinel'] as const)
        expect(stack.log(node, program)).not.to.match(/can't find|unmatched pid|unknown pid/i);
  });
});

const SHELLS: Record<string, string> = { dash: '/bin/dash', 'busybox ash': '/bin/busybox sh' };
const inNamespace = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child'];

describe('deploy/init.sh as PID 1', () => {
  let folder: string;
  let child: ChildProcess | undefined;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'aizumi-init-'))));
  afterEach(() => {
    child?.kill('SIGKILL'); // with everything in its namespace
    child = undefined;
    rmSync(folder, { recursive: true });
  });

  const isThere = (shell: string): boolean =>
    spawnSync('unshare', [...inNamespace, ...shell.split(' '), '-c', ':']).status === 0;

  /** Starts init.sh with stand-ins for the programs that it calls; the server is a shell script. */
  function start(shell: string, server: string): ChildProcess {
    const programs = {
      sh: `#!/bin/sh\nexec ${shell} "$@"\n`,
      // like that of busybox, whose timer process is orphaned
      busybox: '#!/bin/sh\n[ "$1" = timeout ] && { ( (exec sleep 0.1) & ); shift 2; }\nexec "$@"\n',
      'redis-cli': '#!/bin/sh\necho role:slave\n',
      'start-redis.sh': server,
    };
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text, { mode: 0o755 });
    for (const name of [
      'init.sh',
      'watch.sh',
      'hand-over.sh',
      'ask.sh',
      'addresses.sh',
      'password.sh',
      'is-in-step.sh',
    ])
      execFileSync('cp', [`deploy/${name}`, folder]);
    return spawn('unshare', [...inNamespace, ...shell.split(' '), join(folder, 'init.sh'), 'redis'], {
      env: {
        PATH: `${folder}:/usr/sbin:/usr/bin:/sbin:/bin`,
        DATA: folder,
        SELF: '10.0.0.1',
        NODES: '10.0.0.1',
        SENTINELS: '10.0.0.1',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  for (const [name, shell] of Object.entries(SHELLS))
    describe(`in ${name}`, () => {
      before(function () {
        if (isThere(shell)) return;
        console.log(`    no user namespaces or no ${name} here: NOT checked`);
        this.skip();
      });

      it('reaps the orphaned processes of probes', async () => {
        // like Redis, the server knows only its own children; the probes run beside it
        child = start(
          shell,
          `{ for i in $(seq 100); do
               sh "${folder}/is-in-step.sh"
               sh -c 'redis-cli ping | grep -q PONG'
               sh -c '(exec sleep 0.1) & '
             done
             sleep 0.5
             echo "zombies: $(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l), orphans: $i"
           } &
           exec sleep 600`,
        );
        let output = '';
        child.stdout!.on('data', (chunk) => (output += String(chunk)));
        await until('all probes have run', () => output.endsWith('\n'), 50_000);
        expect(output).to.equal('zombies: 0, orphans: 100\n');
      }).timeout(60_000);

      it('ends with the exit code of the server on SIGTERM', async () => {
        child = start(shell, `trap 'exit 9' TERM\necho started\nwhile :; do sleep 0.05; done\n`);
        let output = '';
        child.stdout!.on('data', (chunk) => (output += String(chunk)));
        await until('the server has started', () => output.includes('started'));
        // not to `unshare` itself
        execFileSync('pkill', ['-TERM', '-P', String(child.pid)]);
        const [code] = (await once(child, 'close')) as [number];
        expect(code).to.equal(9);
        expect(output).to.include('nothing to do');
      });
    });
});

function environmentOf(pid: number): string {
  try {
    return `\0${execFileSync('cat', [`/proc/${pid}/environ`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })}`;
  } catch {
    return ''; // it has ended
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
