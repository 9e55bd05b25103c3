// k8s/restore with real servers and Sentinels, with a folder for each node's volume: the steps of docs/operations.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { putCheckRdb } from '../support/check-rdb.js';
import { freePort } from '../../harness/redis-server.js';
import { startScriptedStack } from '../../harness/scripted-stack.js';
import type { ScriptResult, ScriptedStack } from '../../harness/scripted-stack.js';
import { until } from '../../harness/until.js';

describe('k8s/restore', function () {
  this.timeout(90_000);
  let stack: ScriptedStack;
  let folder: string;
  let backups: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aizumi-restore-'));
    backups = join(folder, 'backups');
    mkdirSync(backups);
    putCheckRdb(folder);
    stack = await startScriptedStack();
  });
  afterEach(() => {
    stack.stop();
    rmSync(folder, { recursive: true });
  });

  async function run(node: string, script: string, env: Record<string, string>): Promise<ScriptResult> {
    const base = stack.env(node);
    const child = spawn('sh', [script], {
      env: { ...base, PATH: `${folder}:${base.PATH}`, BACKUPS: backups, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  }

  /** All Jobs at once, as `kubectl apply` starts them. @returns the source's result and the nodes' */
  async function restore(env: Record<string, string> = {}): Promise<ScriptResult[]> {
    const host = stack.nodes[0]!.replace(/\d+$/, '9');
    const port = String(await freePort());
    const source = run(host, 'k8s/restore/serve-backup.sh', { PORT: port, MORE: `--bind ${host}`, ...env });
    const nodes = stack.nodes.map((node) =>
      run(node, 'k8s/restore/restore-node.sh', {
        SOURCE: host,
        PORT: port,
        DATA: stack.claim(node),
        SCRIPTS: resolve('deploy'),
        ...env,
      }),
    );
    return Promise.all([source, ...nodes]);
  }

  const killAll = (): void => {
    for (const node of stack.nodes)
      for (const process of ['sentinel', 'redis'] as const) stack.signal(node, process, 'SIGKILL');
  };
  const startAll = (): void => {
    // the other nodes first: the restored node must still become primary
    for (const node of [...stack.nodes].reverse())
      for (const process of ['sentinel', 'redis'] as const) stack.restart(node, process);
  };
  async function handOver(): Promise<void> {
    const old = await stack.whole();
    expect((await stack.run(old, 'hand-over.sh', '20')).code).to.equal(0);
    await stack.whole();
  }
  const backUp = async (): Promise<void> => {
    const { code, output } = await run(stack.nodes[0]!, 'k8s/components/backup/backup.sh', {});
    expect(code, output).to.equal(0);
  };
  const wordAt = (node: string): Promise<unknown> => stack.redis(node, 'GET', 'word');

  it('restores the backup on all nodes, whichever was primary before, and drops later messages', async () => {
    await handOver(); // so that the Sentinels remember an epoch, and another primary than the first node
    await stack.redis(await stack.whole(), 'SET', 'word', 'backed up');
    await backUp();
    const primary = await stack.whole();
    expect(primary).not.to.equal(stack.nodes[0]);
    await stack.redis(primary, 'SET', 'word', 'later');
    await stack.whole();
    killAll();

    const results = await restore();
    for (const { code, output } of results) expect(code, output).to.equal(0);
    for (const node of stack.nodes) {
      const [old, ...others] = readdirSync(stack.claim(node)).sort();
      expect(old).to.match(/^before-restore-/);
      expect(others).to.deep.equal(node === stack.nodes[0] ? ['redis'] : []);
      expect(readdirSync(join(stack.claim(node), old!)).sort()).to.deep.equal(['redis', 'sentinel']);
    }

    startAll();
    expect(await stack.whole()).to.equal(stack.nodes[0]);
    for (const node of stack.nodes) expect(await wordAt(node), node).to.equal('backed up');
    expect(await stack.redis(stack.nodes[0]!, 'DBSIZE')).to.equal(1);
    // a fail-over works as usual and keeps the restored messages
    await handOver();
    expect(await wordAt(await stack.whole())).to.equal('backed up');
  });

  it('changes nothing while a node is running', async () => {
    const primary = await stack.whole();
    await backUp();
    const left = stack.nodes.find((node) => node !== primary)!;
    killAll();
    stack.restart(left, 'sentinel'); // while its Redis is down
    await until('a Sentinel answers', () => stack.sentinel(left, 'PING').catch(() => undefined), 10_000);
    const nodes = await Promise.all(
      stack.nodes.map((node) =>
        run(node, 'k8s/restore/restore-node.sh', { SOURCE: '127.255.0.1', DATA: stack.claim(node), SCRIPTS: 'deploy' }),
      ),
    );
    for (const result of nodes) {
      expect(result.code).to.equal(1);
      expect(result.output).to.include(`${left} answers at port 26379: scale the StatefulSet redis to 0 first`);
    }
    for (const node of stack.nodes) expect(readdirSync(stack.claim(node)).sort()).to.deep.equal(['redis', 'sentinel']);
  });

  it('changes nothing if the backup is truncated or missing', async () => {
    await stack.whole();
    killAll();
    writeFileSync(join(backups, 'aizumi-20260101T000000Z.rdb'), 'REDIS0010 and no more');
    const broken = await run(stack.nodes[0]!, 'k8s/restore/serve-backup.sh', {});
    expect(broken.code).to.equal(1);
    expect(broken.output).to.include('aizumi-20260101T000000Z.rdb is not a whole snapshot');
    const missing = await run(stack.nodes[0]!, 'k8s/restore/serve-backup.sh', { BACKUP: 'aizumi-of-never.rdb' });
    expect(missing.code).to.equal(1);
    expect(missing.output).to.include("there is no backup 'aizumi-of-never.rdb'");
    for (const node of stack.nodes) expect(readdirSync(stack.claim(node)).sort()).to.deep.equal(['redis', 'sentinel']);
  });
});
