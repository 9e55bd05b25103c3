// Nodes and Sentinels configured by name use IP addresses (deploy/addresses.sh) and remember them while DNS does not answer. When
// a name gets another address, they correct what they have stored (deploy/watch.sh, deploy/start-sentinel.sh).
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { PASSWORD, REDIS_PORT, fieldsOf, startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptedStack } from '../../harness/scripted-stack.js';
import { otherThan, startAnew, wrongOf } from '../support/stack-writers.js';
import { until } from '../../harness/until.js';
import { answersMore } from '../support/writers.js';
import type { Writers } from '../support/writers.js';

const HEALED_MS = 90_000;
/** Writes must be answered again within this time. */
const ANSWERED_MS = 40_000;

describe('Redis nodes and Sentinels configured by name', function () {
  this.timeout(150_000);
  let stack: ScriptedStack;
  let writers: Writers | undefined;
  before(async () => {
    stack = await startScriptedStack({ byName: true });
  });
  after(() => stack.stop());
  afterEach(async () => {
    stack.setSilent(false);
    await writers?.stop();
    writers = undefined;
  });

  const confOf = (node: string): string => readFileSync(join(stack.folder(node, 'sentinel'), 'sentinel.conf'), 'utf8');

  async function expectNothingLost(): Promise<void> {
    await answersMore(writers!, ANSWERED_MS);
    expect((await wrongOf(stack, writers!)).lost).to.deep.equal([]);
  }

  it('store IP addresses, and no name, in the configuration of Sentinel', async () => {
    const leader = await stack.whole();
    for (const node of stack.nodes) {
      expect(confOf(node).replace(/^# address .*$/gm, '')).not.to.match(/redis-\d|hostnames/);
      expect(await stack.sentinel(node, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).to.deep.equal([
        leader,
        '6379',
      ]);
    }
  });

  it('fail over while DNS does not answer, and restart with the remembered addresses', async () => {
    const old = await stack.whole();
    writers = await startAnew(stack);
    await answersMore(writers, ANSWERED_MS);
    stack.setSilent(true);
    stack.signal(old, 'redis', 'SIGKILL');
    stack.signal(old, 'sentinel', 'SIGKILL');
    await until(
      'another node is primary',
      async () => otherThan(stack, old).includes((await stack.named()) ?? ''),
      20_000,
    );
    stack.restart(old, 'sentinel');
    stack.restart(old);
    expect(await stack.whole(60_000)).not.to.equal(old);
    for (const node of stack.nodes) expect(stack.log(node, 'sentinel')).not.to.include('+tilt');
    await expectNothingLost();
  });

  it('fail over by address on a planned stop', async () => {
    const old = await stack.whole();
    stack.tell(old, 'redis');
    expect(await stack.ended(old, 'redis')).to.equal(0);
    expect(await stack.named()).to.be.oneOf(otherThan(stack, old));
    stack.restart(old);
    await stack.whole();
  });

  for (const [what, renewed] of [
    ['of a replica', (leader: string) => [otherThan(stack, leader)[0]!]],
    ['of the primary', (leader: string) => [leader]],
    ['of all nodes', () => stack.nodes],
  ] as const)
    it(`recover after a Service was recreated: ${what}`, async () => {
      const leader = await stack.whole();
      writers = await startAnew(stack);
      await answersMore(writers, ANSWERED_MS);
      const before = stack.nodes;
      await stack.renew(renewed(leader));
      const gone = before.filter((address) => !stack.nodes.includes(address));
      await stack.whole(HEALED_MS);
      const isForgotten = (address: string): boolean =>
        stack.nodes.every((node) => !confOf(node).includes(`${address} `));
      await until('Sentinels know only the new addresses', () => gone.every(isForgotten), HEALED_MS);
      await expectNothingLost();
    });

  const PROGRAMS = ['sentinel', 'redis'] as const;
  async function stopAll(): Promise<void> {
    for (const node of stack.nodes) for (const program of PROGRAMS) stack.tell(node, program);
    for (const node of stack.nodes) for (const program of PROGRAMS) await stack.ended(node, program);
  }
  const restartBoth = (node: string): void => PROGRAMS.forEach((program) => stack.restart(node, program));
  /** @returns a function that reads the node's log from here on, even after its address has changed */
  const logFrom = (node: string, program: 'redis' | 'sentinel'): (() => string) => {
    const { length } = stack.log(node, program);
    const place = stack.nodes.indexOf(node);
    return () => stack.log(stack.nodes[place]!, program).slice(length);
  };

  for (const late of [1, 2])
    it(`start after all Services and nodes were recreated at once, with late DNS for ${late} of them`, async () => {
      const place = stack.nodes.indexOf(await stack.whole());
      writers = await startAnew(stack);
      await answersMore(writers, ANSWERED_MS);
      await stopAll();
      stack.readdress();
      const leader = stack.nodes[place]!;
      const [first, second] = otherThan(stack, leader) as [string, string];
      const isLate = late === 1 ? [first] : [first, second];
      for (const node of isLate) stack.setSilent(true, node);
      const log = logFrom(leader, 'redis');
      // One Sentinel of the majority still names the old address.
      for (const node of [leader, first]) restartBoth(node);
      await until('the first node has decided its role', () => /start: (as |waiting: a fail-over)/.test(log()), 40_000);
      for (const node of isLate) stack.setSilent(false, node);
      restartBoth(second);
      expect(await stack.whole(HEALED_MS), log()).to.equal(leader);
      await expectNothingLost();
    });

  it('start after their addresses were swapped while all were stopped, with late DNS for one', async () => {
    const place = stack.nodes.indexOf(await stack.whole());
    writers = await startAnew(stack);
    await answersMore(writers, ANSWERED_MS);
    await stopAll();
    stack.readdress([1, 2, 0].map((i) => stack.nodes[i]!));
    const leader = stack.nodes[place]!;
    const [first, second] = otherThan(stack, leader) as [string, string];
    stack.setSilent(true, first);
    const [log, itsLog] = [logFrom(leader, 'redis'), logFrom(first, 'sentinel')];
    for (const node of [leader, first]) restartBoth(node);
    await until('one node uses the remembered addresses', () => itsLog().includes('+monitor'), 40_000);
    await until('the first node has decided its role', () => /start: (as |waiting: .*no node)/.test(log()), 40_000);
    stack.setSilent(false, first);
    restartBoth(second);
    expect(await stack.whole(HEALED_MS), log()).to.equal(leader);
    await expectNothingLost();
  });

  const othersOf = async (node: string): Promise<string | undefined> =>
    fieldsOf(await stack.sentinel(node, 'SENTINEL', 'MASTER', 'mymaster'))['num-other-sentinels'];
  const namedBy = async (node: string): Promise<string | undefined> =>
    ((await stack.sentinel(node, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')) as string[])[0];

  it('recover when a Sentinel has listed itself as another Sentinel', async () => {
    const leader = await stack.whole();
    const [node] = otherThan(stack, leader) as [string];
    const id = String(await stack.sentinel(node, 'SENTINEL', 'MYID'));
    const hello = `${node},26379,${id},0,mymaster,${leader},6379,0`;
    // repeated, because it may be corrected before the check
    await until('the Sentinel has listed itself', async () => {
      await stack.sentinel(node, 'PUBLISH', '__sentinel__:hello', hello);
      return (await othersOf(node)) === '3';
    });
    expect(await stack.whole(HEALED_MS)).to.equal(leader);
  });

  it('recover when a Sentinel has received an outdated address as that of a newer fail-over', async () => {
    await stack.whole();
    const before = stack.nodes;
    await stack.renew(before);
    const leader = await stack.whole(HEALED_MS);
    const old = before[stack.nodes.indexOf(leader)]!;
    const [node] = otherThan(stack, leader) as [string];
    const facts = fieldsOf(await stack.sentinel(node, 'SENTINEL', 'MASTER', 'mymaster'));
    const epoch = Number(facts['config-epoch']) + 1;
    const another = `${leader},26379,${String(await stack.sentinel(leader, 'SENTINEL', 'MYID'))}`;
    await stack.sentinel(node, 'PUBLISH', '__sentinel__:hello', `${another},${epoch},mymaster,${old},6379,${epoch}`);
    expect(await namedBy(node)).to.equal(old);
    // It spreads to the other Sentinels; then all are restarted, or promote another node.
    await stack.whole(HEALED_MS);
    expect(stack.nodes).to.include(await stack.named());
  });

  /** Whether all Sentinels regard it as the primary, with no fail-over in progress. */
  async function isContent(leader: string): Promise<boolean> {
    const replies = await Promise.all(
      stack.nodes.map((node) => stack.sentinel(node, 'SENTINEL', 'MASTER', 'mymaster').catch(() => [])),
    );
    return replies
      .map(fieldsOf)
      .every((facts) => facts.ip === leader && facts.flags === 'master' && facts['role-reported'] === 'master');
  }

  /** Retries, because on a busy machine a connection may time out. */
  const setPriority = (node: string, priority: number): Promise<true> =>
    until('the priority is set', () =>
      stack.redis(node, 'CONFIG', 'SET', 'replica-priority', priority).then(
        () => true,
        () => false,
      ),
    );

  for (const [what, followed] of [
    ['an unused address', (leader: string) => leader.replace(/\d+$/, '250')],
    ['itself', (leader: string) => leader],
    ['its own replica', (leader: string) => otherThan(stack, leader)[0]!],
  ] as const)
    it(`restore a primary that was made a replica of ${what}`, async () => {
      const leader = await stack.whole();
      writers = await startAnew(stack);
      await answersMore(writers, ANSWERED_MS);
      // otherwise another node is promoted
      for (const node of otherThan(stack, leader)) await setPriority(node, 0);
      await until('Sentinels know the priorities', async () => {
        const replies = await Promise.all(
          stack.nodes.map((node) => stack.sentinel(node, 'SENTINEL', 'REPLICAS', 'mymaster').catch(() => [[]])),
        );
        return replies.every((reply) =>
          (reply as unknown[]).map(fieldsOf).every((replica) => replica['slave-priority'] === '0'),
        );
      });
      const log = logFrom(leader, 'redis');
      try {
        await stack.redis(leader, 'REPLICAOF', followed(leader), REDIS_PORT);
        await until('it is primary again', async () => (await stack.replication(leader)).role === 'master', HEALED_MS);
        await until('all Sentinels regard it as the primary', () => isContent(leader), HEALED_MS);
      } finally {
        for (const node of otherThan(stack, leader)) await setPriority(node, 100);
      }
      expect(log()).to.match(/watch: it follows .*: the server is restarted/);
      expect(await stack.whole(HEALED_MS)).to.equal(leader);
      await expectNothingLost();
    });
});

describe('Sentinels from a version that stored names', function () {
  this.timeout(90_000);

  it('store addresses after their next start', async () => {
    const names = ['redis-0', 'redis-1', 'redis-2'];
    let i = 0;
    const stack = await startScriptedStack({
      byName: true,
      prepare: (data) => writeFileSync(join(data, 'sentinel.conf'), ofOldVersion(names, names[i]!, String(i++))),
    });
    try {
      const leader = await stack.whole();
      expect(stack.nodes.indexOf(leader)).to.equal(1);
    } finally {
      stack.stop();
    }
  });
});

/** The configuration as such a Sentinel wrote it: redis-1 is the primary. */
function ofOldVersion(names: readonly string[], self: string, id: string): string {
  const idOf = (i: number | string): string => String(i).repeat(40);
  return [
    'sentinel resolve-hostnames yes',
    'sentinel announce-hostnames yes',
    `sentinel announce-ip "${self}"`,
    `sentinel myid ${idOf(id)}`,
    'sentinel monitor mymaster redis-1 6379 2',
    'sentinel down-after-milliseconds mymaster 1000',
    'sentinel failover-timeout mymaster 2000',
    'sentinel parallel-syncs mymaster 5',
    `sentinel auth-pass mymaster ${PASSWORD}`,
    'sentinel config-epoch mymaster 3',
    'sentinel leader-epoch mymaster 3',
    'sentinel current-epoch 3',
    ...['redis-0', 'redis-2'].map((name) => `sentinel known-replica mymaster ${name} 6379`),
    ...names.flatMap((name, i) => (name === self ? [] : [`sentinel known-sentinel mymaster ${name} 26379 ${idOf(i)}`])),
    '',
  ].join('\n');
}

describe('deploy/watch.sh beside Redis', () => {
  const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const;
  const NOBODY = '10.9.9.9';
  let folder: string;
  let child: ChildProcess;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'aizumi-watch-'))));
  afterEach(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
    rmSync(folder, { recursive: true });
  });

  const follower = (host: string, more = ''): string =>
    `role:slave\nmaster_host:${host}\nmaster_link_status:down\nloading:0\nmaster_sync_in_progress:0\n${more}`;
  interface Seen {
    /** Successive INFO replies of this node, A; the last one is repeated. */
    infos: string[];
    /** The primary that each Sentinel names; undefined if it does not answer. */
    named: (string | undefined)[];
    /** The roles that the other nodes report. */
    roles?: Record<string, 'master' | 'slave'>;
  }

  /** @returns the output until it ended or had polled six times */
  async function watch({ infos, named, roles = {} }: Seen): Promise<string> {
    const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o755 });
    write('busybox', '#!/bin/sh\nshift 2\nexec "$@"\n');
    write('sleep', `#!/bin/sh\necho >>'${folder}/looks'\nexec /bin/sleep 0.02\n`);
    infos.forEach((info, i) => write(`info-${i + 1}`, info));
    for (const [i, node] of [A, B, C].entries()) {
      const facts = `flags\nmaster\nnum-slaves\n2\nconfig-epoch\n3\n${named[i]}\n6379\n`;
      if (named[i] !== undefined) write(`${node}-26379`, facts);
      if (roles[node] !== undefined) write(`${node}-6379`, `${roles[node]}\n`);
    }
    write(
      'redis-cli',
      [
        '#!/bin/sh',
        `cd '${folder}'`,
        `if [ "$2" = 127.0.0.1 ]; then`,
        `  i=$(grep -c '' looks); [ -e info-$i ] || i=${infos.length}; cat info-$i`,
        'else cat "$2-$4" 2>/dev/null; fi',
      ].join('\n'),
    );
    const init = `trap 'exit 0' USR1; sh deploy/watch.sh redis $$ & while :; do /bin/sleep 0.02; done`;
    const nodes = [A, B, C].join(' ');
    child = spawn('sh', ['-c', init], {
      env: { PATH: `${folder}:/usr/bin:/bin`, DATA: folder, SELF: A, NODES: nodes, SENTINELS: nodes },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    let output = '';
    child.stdout!.on('data', (chunk) => (output += String(chunk)));
    const looks = (): number => (existsSync(join(folder, 'looks')) ? readFileSync(join(folder, 'looks')).length : 0);
    await until('it has ended or polled enough', () => child.exitCode !== null || looks() > 6, 20_000);
    return output;
  }

  const stuck: Record<string, Seen> = {
    'it follows an unused address, and most Sentinels name it as primary': {
      infos: [follower(NOBODY)],
      named: [A, A, undefined],
    },
    'it follows itself': { infos: [follower(A)], named: [B, B, C] },
    'it follows a replica, and most Sentinels name it as primary': {
      infos: [follower(B)],
      named: [A, A, A],
      roles: { [B]: 'slave' },
    },
    'it and a replica follow each other, with working links': {
      infos: [follower(B).replace('down', 'up')],
      named: [A, A, A],
      roles: { [B]: 'slave' },
    },
    'it follows an unused address, and another node is primary': {
      infos: [follower(NOBODY)],
      named: [B, B, B],
      roles: { [B]: 'master' },
    },
  };
  for (const [when, seen] of Object.entries(stuck))
    it(`restarts the server if ${when}`, async () =>
      expect(await watch(seen)).to.match(/^watch: it follows .*: the server is restarted\n$/));

  const well: Record<string, Seen> = {
    'it is primary': { infos: ['role:master\nloading:0\n'], named: [A, A, A] },
    'its replication link is up': { infos: [follower(NOBODY).replace('down', 'up')], named: [A, A, A] },
    'its primary is hung or dead, and no other was promoted': { infos: [follower(B)], named: [B, B, B] },
    'another node was promoted, and Sentinel has not reconfigured it yet': {
      infos: [follower(B)],
      named: [C, C, B],
      roles: { [C]: 'master' },
    },
    'it follows a replica, and a node that Sentinels do not name is primary': {
      infos: [follower(B)],
      named: [A, A, A],
      roles: { [B]: 'slave', [C]: 'master' },
    },
    'it is loading': { infos: [follower(NOBODY).replace('loading:0', 'loading:1')], named: [A, A, A] },
    'it receives a full copy': {
      infos: [follower(NOBODY).replace('in_progress:0', 'in_progress:1')],
      named: [A, A, A],
    },
    'it waits for a full copy of the primary': {
      infos: [follower(B)],
      named: [A, A, A],
      roles: { [B]: 'master' },
    },
    'the node that it follows does not answer, and may have newer data': { infos: [follower(B)], named: [A, A, A] },
    'it follows an unused address, and the named node is not primary': {
      infos: [follower(NOBODY)],
      named: [B, B, B],
      roles: { [B]: 'slave' },
    },
    'no majority of Sentinels agrees': { infos: [follower(NOBODY)], named: [A, B, undefined] },
    'Sentinels name an unused address, too': { infos: [follower(NOBODY)], named: [NOBODY, NOBODY, NOBODY] },
    'the fault never lasts for two polls in a row': {
      infos: [1, 2, 3].flatMap(() => [follower(NOBODY), follower(NOBODY).replace('down', 'up')]),
      named: [A, A, A],
    },
  };
  for (const [when, seen] of Object.entries(well))
    it(`does not restart the server if ${when}`, async () => expect(await watch(seen)).to.equal(''));
});

describe('deploy/start-sentinel.sh', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'aizumi-sentinel-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  interface Case {
    conf?: string;
    dns: Record<string, string>;
    /** The replies of the other Sentinels, as survey lists them: primary and epoch. */
    others?: { primary: string; epoch: number }[];
    /** The replies of the Redis nodes. */
    nodes?: string[];
    /** The script is expected to wait: it is then ended, and its output is the result. */
    waits?: boolean;
  }

  const writeRemembered = (lines: string[]): void => {
    mkdirSync(join(folder, 'data'), { recursive: true });
    writeFileSync(join(folder, 'data/addresses'), `${lines.join('\n')}\n`);
  };

  /** @returns the configuration with which Sentinel starts, with the addresses 10.0.0.* from `dns` */
  function start({ conf, dns, others = [], nodes = [], waits = false }: Case): string {
    const replies = others.map(({ primary, epoch }, i) => {
      const address = Object.values(dns)[i + 1];
      const facts = `name\nmymaster\nflags\nmaster\nnum-slaves\n2\nconfig-epoch\n${epoch}\n${primary}\n6379\n`;
      return `[ "$2-$4" = ${address}-26379 ] && printf '${facts.replaceAll('\n', '\\n')}'`;
    });
    nodes.forEach((info, i) => {
      replies.push(`[ "$2-$4" = ${Object.values(dns)[i]}-6379 ] && printf '${info.replaceAll('\n', '\\n')}'`);
    });
    const programs = {
      busybox: '#!/bin/sh\n[ "$1" = timeout ] && shift 2\n[ "$1" = busybox ] && shift\nexec "$@"\n',
      nslookup: [
        '#!/bin/sh',
        `case $1 in`,
        ...Object.entries(dns).map(
          ([name, address]) => `${name}.*|${name}) echo "Name: $1"; echo "Address: ${address}" ;;`,
        ),
        `*) exit 1 ;; esac`,
      ].join('\n'),
      'redis-cli': ['#!/bin/sh', ...replies].join('\n'),
      'redis-server': '#!/bin/sh\nexit 0\n',
      // its own polling ends with it
      sleep: waits ? '#!/bin/sh\nkill -TERM $PPID\n' : '#!/bin/sh\nexit 1\n',
    };
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text, { mode: 0o755 });
    const data = join(folder, 'data');
    mkdirSync(data, { recursive: true });
    if (conf !== undefined) writeFileSync(join(data, 'sentinel.conf'), conf);
    const names = 'redis-0 redis-1 redis-2';
    const env = { PATH: `${folder}:/usr/bin:/bin`, DATA: data, SELF: 'redis-0', NODES: names, SENTINELS: names };
    const { status, stdout, stderr } = spawnSync('sh', ['deploy/start-sentinel.sh'], { env, encoding: 'utf8' });
    if (waits) return stdout;
    expect(status, stderr).to.equal(0);
    expect(existsSync(join(data, 'addresses'))).to.equal(true);
    return readFileSync(join(data, 'sentinel.conf'), 'utf8');
  }
  const linesOf = (text: string, words: RegExp): string[] => text.split('\n').filter((line) => words.test(line));
  const DNS = { 'redis-0': '10.0.0.1', 'redis-1': '10.0.0.2', 'redis-2': '10.0.0.3' };
  /** The configuration as written with the addresses of DNS, with what Sentinel itself has added. */
  const known = [
    ...Object.entries(DNS).map(([name, address]) => `# address ${name} ${address}`),
    'sentinel announce-ip 10.0.0.1',
    'sentinel monitor mymaster 10.0.0.2 6379 2',
    'sentinel auth-pass mymaster 10.0.0.1',
    'sentinel config-epoch mymaster 3',
    'sentinel known-replica mymaster 10.0.0.1 6379',
    'sentinel known-replica mymaster 10.0.0.3 6379',
    `sentinel known-sentinel mymaster 10.0.0.2 26379 ${'1'.repeat(40)}`,
    `sentinel known-sentinel mymaster 10.0.0.3 26379 ${'2'.repeat(40)}`,
  ].join('\n');
  const ADDRESSES = /(monitor|announce-ip|known-\w+) /;

  it('leaves correct addresses unchanged', () => expect(start({ conf: known, dns: DNS }).trim()).to.equal(known));

  it('replaces all addresses in one pass, even if nodes have swapped theirs', () => {
    const dns = { 'redis-0': '10.0.0.2', 'redis-1': '10.0.0.3', 'redis-2': '10.0.0.1' };
    const conf = start({ conf: known, dns });
    expect(linesOf(conf, ADDRESSES)).to.deep.equal([
      'sentinel announce-ip 10.0.0.2',
      'sentinel monitor mymaster 10.0.0.3 6379 2',
      'sentinel known-replica mymaster 10.0.0.2 6379',
      'sentinel known-replica mymaster 10.0.0.1 6379',
      `sentinel known-sentinel mymaster 10.0.0.3 26379 ${'1'.repeat(40)}`,
      `sentinel known-sentinel mymaster 10.0.0.1 26379 ${'2'.repeat(40)}`,
    ]);
    expect(linesOf(conf, /^#/)).to.deep.equal(
      Object.entries(dns).map(([name, address]) => `# address ${name} ${address}`),
    );
    expect(conf).to.include('auth-pass mymaster 10.0.0.1'); // a password, not an address
    expect(start({ conf, dns })).to.equal(conf); // a second start changes nothing
  });

  it('replaces whole addresses only, not those that merely begin the same', () => {
    const conf = start({
      conf: known.replaceAll('10.0.0.3', '10.0.0.11'),
      dns: { ...DNS, 'redis-0': '10.0.0.7', 'redis-2': '10.0.0.11' },
    });
    expect(linesOf(conf, /known-replica/)).to.deep.equal([
      'sentinel known-replica mymaster 10.0.0.7 6379',
      'sentinel known-replica mymaster 10.0.0.11 6379',
    ]);
  });

  it('keeps each node once if an older version also stored its name', () => {
    const conf = start({
      conf: `${known}\nsentinel known-replica mymaster redis-2 6379\nsentinel known-replica mymaster redis-1 6379\n`,
      dns: DNS,
    });
    expect(linesOf(conf, /known-replica/)).to.deep.equal(linesOf(known, /known-replica/));
  });

  it('takes the primary from the other Sentinels if most agree and it knows of no newer fail-over', () => {
    const others = [1, 2].map(() => ({ primary: '10.0.0.3', epoch: 3 }));
    expect(linesOf(start({ conf: known, dns: DNS, others }), /monitor|known-replica/)).to.deep.equal([
      'sentinel monitor mymaster 10.0.0.3 6379 2',
      'sentinel known-replica mymaster 10.0.0.1 6379',
      'sentinel known-replica mymaster 10.0.0.2 6379',
    ]);
    for (const not of [
      [{ primary: '10.0.0.3', epoch: 3 }],
      [1, 2].map(() => ({ primary: '10.0.0.3', epoch: 2 })),
      [1, 2].map(() => ({ primary: '10.9.9.9', epoch: 3 })),
    ])
      expect(start({ conf: known, dns: DNS, others: not }).trim()).to.equal(known);
  });

  it('removes itself from the list of other Sentinels', () => {
    const myid = `sentinel myid ${'9'.repeat(40)}`;
    const conf = `${myid}\n${known}\nsentinel known-sentinel mymaster 10.0.0.1 26379 ${'9'.repeat(40)}\n`;
    expect(linesOf(start({ conf, dns: DNS }), /known-sentinel/)).to.deep.equal(linesOf(known, /known-sentinel/));
  });

  it('replaces an outdated address that it received from another Sentinel', () => {
    writeRemembered(['redis-1 10.0.9.2']);
    const conf = start({ conf: known.replace('monitor mymaster 10.0.0.2', 'monitor mymaster 10.0.9.2'), dns: DNS });
    expect(conf).to.include('monitor mymaster 10.0.0.2 ');
  });

  it('waits if others name an address of no node, instead of making the first node the primary', () => {
    const others = [1, 2].map(() => ({ primary: '10.9.9.9', epoch: 3 }));
    expect(start({ conf: '', dns: DNS, others, waits: true })).to.match(/waiting: Sentinels name .* 10\.9\.9\.9/);
  });

  it('asks the Redis nodes if no Sentinel knows a primary', () => {
    const follows = (host: string): string => `role:slave\nmaster_host:${host}\n`;
    for (const nodes of [
      [follows('10.0.0.3'), follows('10.0.0.3')],
      ['', follows('10.0.0.3'), 'role:master\n'],
    ])
      expect(start({ conf: '', dns: DNS, nodes })).to.include('monitor mymaster 10.0.0.3 ');
    expect(start({ conf: '', dns: DNS, nodes: [follows('10.9.9.9')] })).to.include('monitor mymaster 10.0.0.1 ');
  });

  it('accepts a primary that other Sentinels name by host name', () => {
    const others = [1, 2].map(() => ({ primary: 'redis-2', epoch: 3 }));
    expect(start({ conf: known, dns: DNS, others })).to.include('monitor mymaster 10.0.0.3 ');
    expect(start({ conf: '', dns: DNS, others })).to.include('monitor mymaster 10.0.0.3 ');
  });
});
