// k8s/components/backup/backup.sh with real servers and Sentinels: what it copies, what it rejects, what it keeps.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { parseRedisAddress } from '../../src/config/redis-url.js';
import type { SentinelAddress } from '../../src/config/redis-url.js';
import { sentinelView } from '../../src/redis/replication/sentinel.js';
import { putCheckRdb } from '../support/check-rdb.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { PASSWORD, fieldsOf, startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptResult, ScriptedStack } from '../../harness/scripted-stack.js';
import { until } from '../../harness/until.js';

const OLD = ['aizumi-20200101T000000Z.rdb', 'aizumi-20200102T000000Z.rdb', 'aizumi-20200103T000000Z.rdb'];

describe('k8s/components/backup/backup.sh', function () {
  this.timeout(60_000);
  let stack: ScriptedStack;
  let folder: string;
  let backups: string;
  before(async () => (stack = await startScriptedStack()));
  after(() => stack.stop());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aizumi-backup-'));
    backups = join(folder, 'backups');
    mkdirSync(backups);
    putCheckRdb(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Puts a program first in the script's PATH. */
  function program(name: string, text: string): void {
    writeFileSync(join(folder, name), `#!/bin/bash\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  /** A redis-cli that runs commands after a copy; `$copy` is the file, `$real` the real redis-cli. */
  const afterCopy = (text: string): void =>
    program(
      'redis-cli',
      `real=$(PATH=\${PATH#*:} command -v redis-cli)\ncopy=\${@: -1}\n` +
        `[[ " $* " = *" --rdb "* ]] || exec $real "$@"\n$real "$@" || exit\n${text}`,
    );

  function start(env: Record<string, string> = {}): {
    kill(signal: NodeJS.Signals): void;
    result: Promise<ScriptResult>;
  } {
    const base = stack.env(stack.nodes[0]!);
    const child = spawn('sh', ['k8s/components/backup/backup.sh'], {
      env: { ...base, PATH: `${folder}:${base.PATH}`, BACKUPS: backups, KEEP: '3', WAIT_S: '10', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
    const result = once(child, 'close').then(([code]) => ({ code: code as number | null, output }));
    return {
      // including its children, as when a container ends
      kill: (signal) => void process.kill(signal === 'SIGKILL' ? -child.pid! : child.pid!, signal),
      result,
    };
  }
  const run = (env?: Record<string, string>): Promise<ScriptResult> => start(env).result;
  const kept = (): string[] => readdirSync(backups).sort();
  const copiesOf = async (node: string): Promise<number> =>
    Number(/^sync_full:(\d+)/m.exec(String(await stack.redis(node, 'INFO', 'stats')))![1]);

  /** The messages of a snapshot, read with a Redis that loads it. */
  async function readBack(file: string): Promise<string | null> {
    const server = await startRedisServer({
      args: ['--appendonly', 'no', '--dir', backups, '--dbfilename', file, '--save', ''],
    });
    const redis = new Redis(server.url);
    try {
      return await redis.get('aizumi:word');
    } finally {
      redis.disconnect();
      await server.stop();
    }
  }

  it('copies a replica, never the primary, and the copy can be loaded', async () => {
    const primary = await stack.whole();
    await stack.redis(primary, 'SET', 'aizumi:word', 'first');
    const before = await copiesOf(primary);
    const { code, output } = await run();
    expect(code, output).to.equal(0);
    expect(kept()).to.have.length(1);
    const source = /aizumi-\w+\.rdb: \d+ keys, \d+ bytes, from (\S+)/.exec(output)?.[1];
    expect(stack.nodes.filter((node) => node !== primary)).to.include(source);
    expect(await copiesOf(primary)).to.equal(before);
    expect(await copiesOf(source!)).to.equal(1);
    expect(output).not.to.include(PASSWORD);
    expect(await readBack(kept()[0]!)).to.equal('first');
  });

  it('asks the Sentinels which node is the primary after a fail-over', async () => {
    const old = await stack.whole();
    expect((await stack.run(old, 'hand-over.sh', '20')).code).to.equal(0);
    const primary = await stack.whole();
    const { code, output } = await run();
    expect(code, output).to.equal(0);
    expect(output).not.to.include(`from ${primary}`);
  });

  it('uses another replica if one hangs, and fails if none is in sync', async () => {
    const primary = await stack.whole();
    const [first, second] = stack.nodes.filter((node) => node !== primary) as [string, string];
    const before = await copiesOf(primary);
    try {
      stack.signal(first, 'redis', 'SIGSTOP');
      const one = await run();
      expect(one.code, one.output).to.equal(0);
      expect(one.output).to.include(`from ${second}`);
      stack.signal(second, 'redis', 'SIGSTOP');
      const none = await run({ WAIT_S: '1' });
      expect(none.code, none.output).to.equal(1);
      expect(none.output).to.include('no replica is in step');
      expect(await copiesOf(primary)).to.equal(before);
    } finally {
      for (const node of [first, second]) stack.signal(node, 'redis', 'SIGCONT');
    }
    await stack.whole();
  });

  it('rejects a truncated copy, and keeps earlier backups', async () => {
    await stack.whole();
    writeFileSync(join(backups, OLD[0]!), 'old');
    afterCopy('truncate --size=-20 "$copy"');
    const { code, output } = await run();
    expect(code).to.equal(1);
    expect(output).to.match(/the copy of \S+ is not a whole snapshot/);
    expect(kept()).to.deep.equal([OLD[0]]);
  });

  it('rejects a complete snapshot that is older than the primary’s data', async () => {
    await stack.whole();
    const other = await startRedisServer();
    try {
      // as from a node that was partitioned off: it has a replication lineage of its own
      afterCopy(`rm "$copy"; PATH=\${PATH#*:*:} env -u REDISCLI_AUTH redis-cli -p ${other.port} --rdb "$copy"`);
      const elsewhere = await run();
      expect(elsewhere.code, elsewhere.output).to.equal(1);
      expect(elsewhere.output).to.include('was copied with another replication lineage');
    } finally {
      await other.stop();
    }
    // older than the primary's data at the time of the request
    program(
      'redis-cli',
      `real=$(PATH=\${PATH#*:} command -v redis-cli)\n` +
        `[[ " $* " = *" --rdb "* ]] || exec $real "$@" > >(sed -E 's/^((master|slave)_repl_offset:).*/\\199999999999/')\n` +
        `exec $real "$@"`,
    );
    const behind = await run();
    expect(behind.code, behind.output).to.equal(1);
    expect(behind.output).to.match(/was copied at offset \d+, and \S+ had 99999999999/);
    expect(kept()).to.deep.equal([]);
  });

  it('deletes all but the newest backups, and no other files', async () => {
    await stack.whole();
    for (const name of [...OLD, 'by-hand.rdb', 'aizumi-notes.txt']) writeFileSync(join(backups, name), 'old');
    const { code, output } = await run();
    expect(code, output).to.equal(0);
    const [first, second, newest, ...others] = kept();
    expect([first, second]).to.deep.equal(OLD.slice(1));
    expect(statSync(join(backups, newest!)).size).to.be.above(100);
    expect(others).to.deep.equal(['aizumi-notes.txt', 'by-hand.rdb']);
  });

  it('removes its partial copy when it is stopped; that of a killed run is removed by a later run', async () => {
    await stack.whole();
    afterCopy(`echo $$ >"$(dirname "$copy")/../pid"; exec sleep 600`);
    const isCopied = (): boolean => existsSync(join(folder, 'pid')) && kept().some((name) => name.endsWith('.part'));
    const stopped = start();
    await until('the copy is in progress', isCopied, 20_000);
    stopped.kill('SIGTERM');
    expect((await stopped.result).code).to.equal(1);
    expect(kept()).to.deep.equal([]);
    rmSync(join(folder, 'pid'), { force: true });

    const killed = start();
    await until('the copy is in progress', isCopied, 20_000);
    killed.kill('SIGKILL');
    // everything in a container ends with it
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGKILL');
    expect((await killed.result).code).to.equal(null);
    const [left] = kept();
    rmSync(join(folder, 'redis-cli'));
    // a recent one may belong to another run
    const beside = await run();
    expect(beside.code, beside.output).to.equal(0);
    expect(kept()).to.include(left);
    const longAgo = Date.now() / 1000 - 3 * 3600;
    utimesSync(join(backups, left!), longAgo, longAgo);
    expect((await run()).code).to.equal(0);
    expect(kept().filter((name) => name.endsWith('.part'))).to.deep.equal([]);
  });

  it('fails if most Sentinels do not answer, and if the password is wrong', async () => {
    await stack.whole();
    const sentinels = `${stack.nodes[0]} 127.255.0.1 127.255.0.2`;
    const away = await run({ WAIT_S: '1', SENTINELS: sentinels });
    expect(away.code).to.equal(1);
    expect(away.output).to.include('1 of 3 Sentinels answer');
    const wrong = await run({ WAIT_S: '1', REDISCLI_AUTH: 'wrong' });
    expect(wrong.code).to.equal(1);
    expect(wrong.output).to.include('does not say that it leads');
    expect(kept()).to.deep.equal([]);
  });

  it('copies a Redis without Sentinels', async () => {
    const alone = await startRedisServer();
    const redis = new Redis(alone.url);
    try {
      await redis.set('aizumi:word', 'alone');
      program('redis-cli', `shift 4; exec env -u REDISCLI_AUTH PATH=\${PATH#*:*:} redis-cli -p ${alone.port} "$@"`);
      const { code, output } = await run({ SENTINELS: '', NODES: '127.0.0.1' });
      expect(code, output).to.equal(0);
    } finally {
      redis.disconnect();
      await alone.stop();
    }
    expect(await readBack(kept()[0]!)).to.equal('alone');
  });

  // must be the last test: the Sentinels of the stack remember the copy
  it('avoids the primary because Sentinels would list the copy as a replica (which aizumi does not count)', async () => {
    const primary = await stack.whole();
    const sentinel = stack.nodes[0]!;
    const known = async (): Promise<string> =>
      fieldsOf(await stack.sentinel(sentinel, 'SENTINEL', 'MASTER', 'mymaster'))['num-slaves']!;
    // the Sentinel asks the primary twice a second, and may miss a copy of so little
    await until(
      'the Sentinel lists three replicas',
      async () => {
        const copy = spawn('redis-cli', ['-h', primary, '--rdb', join(folder, 'copy.rdb')], {
          env: stack.env(primary),
          stdio: 'ignore',
        });
        expect(await once(copy, 'exit')).to.deep.equal([0, null]);
        return (await known()) === '3';
      },
      20_000,
    );
    const address = parseRedisAddress(`redis+sentinel://${sentinel}:26379/mymaster`) as SentinelAddress;
    const { replicas } = await sentinelView({ host: sentinel, port: 26379 }, address);
    expect(replicas.map(({ host }) => host)).to.have.members(stack.nodes.filter((node) => node !== primary));
  });
});
