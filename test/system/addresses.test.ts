// Nodes and Sentinels that are given names know each other by addresses (deploy/addresses.sh), remember them for a DNS that is
// silent, and heal by themselves what they wrote when a name has another address (deploy/watch.sh, deploy/start-sentinel.sh).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { PASSWORD, REDIS_PORT, startScriptedStack } from '../support/scripted-stack.js';
import type { ScriptedStack } from '../support/scripted-stack.js';
import { until } from '../support/until.js';
import { readWritten, startWriters } from '../support/writers.js';
import type { Address, Writers } from '../support/writers.js';

const HEALED_MS = 90_000;

describe('nodes that are given names', function () {
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

  const optionsOf = (host: string): Address => ({ host, port: REDIS_PORT, password: PASSWORD });
  const primary = async (): Promise<Address | undefined> => {
    const node = await stack.named();
    return node === undefined ? undefined : optionsOf(node);
  };
  const startAnew = async (): Promise<Writers> => {
    await stack.redis(await stack.whole(), 'DEL', 'writes');
    return startWriters(primary);
  };
  const otherThan = (node: string): string[] => stack.nodes.filter((each) => each !== node);
  const confOf = (node: string): string => readFileSync(join(stack.folder(node, 'sentinel'), 'sentinel.conf'), 'utf8');

  async function expectNothingLost(): Promise<void> {
    await answersMore(writers!);
    await writers!.stop();
    const written = await readWritten(optionsOf(await stack.whole()));
    expect(writers!.answered.filter((id) => !written.has(id))).to.deep.equal([]);
  }

  it('write no name into what Sentinel reads, and know each other by addresses', async () => {
    const leader = await stack.whole();
    for (const node of stack.nodes) {
      expect(confOf(node).replace(/^# address .*$/gm, '')).not.to.match(/redis-\d|hostnames/);
      expect(await stack.sentinel(node, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).to.deep.equal([
        leader,
        '6379',
      ]);
    }
  });

  it('fail over while DNS is silent, and start again with what they remember', async () => {
    const old = await stack.whole();
    writers = await startAnew();
    await answersMore(writers);
    stack.setSilent(true);
    stack.signal(old, 'redis', 'SIGKILL');
    stack.signal(old, 'sentinel', 'SIGKILL');
    await until('another leads', async () => otherThan(old).includes((await stack.named()) ?? ''), 20_000);
    stack.restart(old, 'sentinel');
    stack.restart(old);
    expect(await stack.whole(60_000)).not.to.equal(old);
    for (const node of stack.nodes) expect(stack.log(node, 'sentinel')).not.to.include('+tilt');
    await expectNothingLost();
  });

  it('follow a planned stop by their addresses', async () => {
    const old = await stack.whole();
    stack.tell(old, 'redis');
    expect(await stack.ended(old, 'redis')).to.equal(0);
    expect(await stack.named()).to.be.oneOf(otherThan(old));
    stack.restart(old);
    await stack.whole();
  });

  for (const [what, renewed] of [
    ['of a replica', (leader: string) => [otherThan(leader)[0]!]],
    ['of the primary', (leader: string) => [leader]],
    ['of all nodes', () => stack.nodes],
  ] as const)
    it(`heal when a Service is made anew: ${what}`, async () => {
      const leader = await stack.whole();
      writers = await startAnew();
      await answersMore(writers);
      const before = stack.nodes;
      await stack.renew(renewed(leader));
      const gone = before.filter((address) => !stack.nodes.includes(address));
      await stack.whole(HEALED_MS);
      const isForgotten = (address: string): boolean =>
        stack.nodes.every((node) => !confOf(node).includes(`${address} `));
      await until('Sentinels know the new addresses alone', () => gone.every(isForgotten), HEALED_MS);
      await expectNothingLost();
    });
});

describe('Sentinels of a version that knew names', function () {
  this.timeout(90_000);

  it('are healed at their start', async () => {
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

/** As its Sentinel wrote it: redis-1 leads. */
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

describe('deploy/start-sentinel.sh', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'aizumi-sentinel-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  interface Case {
    conf?: string;
    dns: Record<string, string>;
    /** A line of the others each, as survey makes them of their answers: primary and epoch. */
    others?: { primary: string; epoch: number }[];
  }

  /** The file with which Sentinel starts, in which the addresses 10.0.0.* are these of `dns`. */
  function start({ conf, dns, others = [] }: Case): string {
    const replies = others.map(({ primary, epoch }, i) => {
      const address = Object.values(dns)[i + 1];
      const facts = `name\nmymaster\nflags\nmaster\nnum-slaves\n2\nconfig-epoch\n${epoch}\n${primary}\n6379\n`;
      return `[ "$2" = ${address} ] && printf '${facts.replaceAll('\n', '\\n')}'`;
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
      // that it asks itself again and again ends with it
      sleep: '#!/bin/sh\nexit 1\n',
    };
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text, { mode: 0o755 });
    const data = join(folder, 'data');
    mkdirSync(data, { recursive: true });
    if (conf !== undefined) writeFileSync(join(data, 'sentinel.conf'), conf);
    const names = 'redis-0 redis-1 redis-2';
    const env = { PATH: `${folder}:/usr/bin:/bin`, DATA: data, SELF: 'redis-0', NODES: names, SENTINELS: names };
    const { status, stderr } = spawnSync('sh', ['deploy/start-sentinel.sh'], { env, encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
    expect(existsSync(join(data, 'addresses'))).to.equal(true);
    return readFileSync(join(data, 'sentinel.conf'), 'utf8');
  }
  const linesOf = (text: string, words: RegExp): string[] => text.split('\n').filter((line) => words.test(line));
  const DNS = { 'redis-0': '10.0.0.1', 'redis-1': '10.0.0.2', 'redis-2': '10.0.0.3' };
  /** What it wrote when the names had the addresses of DNS, and Sentinel has added what it found. */
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

  it('leaves what is right as it is', () => expect(start({ conf: known, dns: DNS }).trim()).to.equal(known));

  it('replaces addresses in one pass, also where nodes have exchanged theirs', () => {
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
    expect(start({ conf, dns })).to.equal(conf); // and not twice
  });

  it('takes whole words only: an address that begins like another is not it', () => {
    const conf = start({
      conf: known.replaceAll('10.0.0.3', '10.0.0.11'),
      dns: { ...DNS, 'redis-0': '10.0.0.7', 'redis-2': '10.0.0.11' },
    });
    expect(linesOf(conf, /known-replica/)).to.deep.equal([
      'sentinel known-replica mymaster 10.0.0.7 6379',
      'sentinel known-replica mymaster 10.0.0.11 6379',
    ]);
  });

  it('has each node once where an older version knew it by its name as well', () => {
    const conf = start({
      conf: `${known}\nsentinel known-replica mymaster redis-2 6379\nsentinel known-replica mymaster redis-1 6379\n`,
      dns: DNS,
    });
    expect(linesOf(conf, /known-replica/)).to.deep.equal(linesOf(known, /known-replica/));
  });

  it('believes the others, where most of them agree and no later fail-over is known here', () => {
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

  it('understands others that name the primary by its name', () => {
    const others = [1, 2].map(() => ({ primary: 'redis-2', epoch: 3 }));
    expect(start({ conf: known, dns: DNS, others })).to.include('monitor mymaster 10.0.0.3 ');
    expect(start({ conf: '', dns: DNS, others })).to.include('monitor mymaster 10.0.0.3 ');
  });
});

function answersMore({ answered }: Writers): Promise<true> {
  const before = answered.length;
  return until('more writes are answered', () => answered.length > before + 50, 40_000);
}
