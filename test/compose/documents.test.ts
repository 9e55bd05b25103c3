// Runs the blocks of README.md and docs/operations.md that use docker compose, as they are printed, one after the other, in a
// copy of the checkout, which stands for the reader's own: upgrades and backups happen in it.
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { post } from '../../harness/broker.js';
import { runBlock, runShell } from '../support/documents.js';
import type { BlockResult } from '../support/documents.js';
import { recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';
import {
  LEASE_MS,
  REDIS_NODES,
  ROOT,
  build,
  compose,
  container,
  containers,
  docker,
  down,
  primary,
  redis,
  shellEnv,
  url,
  whole,
} from './stack.js';
import { startSteadyLoad } from './steady-load.js';

/** An image for these tests only, since an upgrade builds it again. */
const IMAGE = 'aizumi:test-documents';
const BLOCK_MS = 400_000;
/** Files that do not belong to a checkout. */
const NOT_COPIED = new Set(['node_modules', '.git', 'dist', 'data', 'coverage']);

describe('the docker compose commands in the documents', function () {
  this.timeout(600_000);
  let folder: string;
  const firstKey = (): string => process.env.AIZUMI_TEST_KEY!;

  /** Runs a block. Only the port and an ID known to the stack are replaced; project, network and image are in `env`. */
  async function run(name: string, replace: Record<string, string> = {}): Promise<BlockResult> {
    if (['compose', 'drill'].includes(name)) replace = { 'localhost:8080': new URL(url).host };
    const env = { ...shellEnv, STACK_IMAGE: IMAGE };
    const result = await runBlock(name, { replace, cwd: folder, env, timeoutMs: BLOCK_MS });
    expect(result.code, result.output).to.equal(0);
    return result;
  }

  const statusWith = async (key: string): Promise<number> =>
    (await post(url, sendRequest(9_998, 1), { authorization: `Bearer ${key}` })).status;
  /** Whether both workers, which take turns, know the key. */
  const isKnown = async (key: string): Promise<boolean> =>
    (await Promise.all([1, 2, 3, 4].map(() => statusWith(key)))).every((status) => status === 200);
  const idAt = async (address: number): Promise<unknown> => (await post(url, recvRequest(address))).json.id;

  before(async () => {
    await build();
    await docker('tag', process.env.AIZUMI_TEST_IMAGE ?? 'aizumi:test', IMAGE);
    folder = mkdtempSync(join(tmpdir(), 'aizumi-documents-'));
    cpSync(ROOT, folder, { recursive: true, filter: (path) => path === ROOT || !NOT_COPIED.has(basename(path)) });
    chmodSync(folder, 0o755); // readable for the users of the containers
    // where the image came from elsewhere, only its layers make another one, without a network; they were built with this one
    const ofHost = '{ build: { network: host } }';
    if (process.env.AIZUMI_TEST_IMAGE !== undefined)
      writeFileSync(
        join(folder, 'docker-compose.override.yml'),
        `services: { keys: ${ofHost}, aizumi: ${ofHost}, aizumi-single: ${ofHost} }\n`,
      );
  });
  after(async () => {
    await down();
    rmSync(folder, { recursive: true, force: true });
  });

  it('start the stack and print its first key (README.md)', async () => {
    const { stdout } = await run('compose-up');
    process.env.AIZUMI_TEST_KEY = stdout.split('\n').pop()!;
    expect(firstKey()).to.match(/^aizumi_[\w-]{43}$/);
    expect(await statusWith(firstKey())).to.equal(200);
    await whole();
  });

  it('start the stack, send with its key, scale it, and remove it without its messages', async () => {
    const { output } = await run('compose');
    expect(output).to.include('{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}');
    expect(output).to.match(/aizumi-4 +(Started|Healthy)/);
    expect(await compose('--profile', '*', 'ps', '--quiet')).to.equal('');
    await run('compose-up');
    await whole();
    expect(await idAt(100)).to.equal(1);
  });

  it('hand over before maintenance of a machine', async () => {
    const from = await primary();
    const { output } = await run('hand-over');
    if (from === 'redis-1') expect(output).to.match(/hand-over: \S+ leads, after \d+ ms without writes/);
    else expect(output).to.include('nothing to do');
    expect(await primary()).not.to.equal('redis-1');
    await whole();
  });

  it('practise a fail-over, whichever node is primary', async () => {
    const from = await primary();
    const { output } = await run('drill');
    expect(output).to.include('"code":200').and.to.include('role:slave').and.to.include('master_link_status:up');
    expect(await primary()).not.to.equal(from);
    await whole();
  });

  it('upgrade the workers with --scale, and no request fails', async () => {
    const imageOf = async (id: string): Promise<string> => docker('inspect', '--format', '{{.Image}}', id);
    const old = await containers('aizumi');
    const [oldImage] = await Promise.all(old.map(imageOf));
    appendFileSync(join(folder, 'src/index.ts'), "\nprocess.stderr.write('a new version\\n');\n");

    // built beforehand, because a compiler would be an extra load on two cores
    const env = { ...shellEnv, STACK_IMAGE: IMAGE };
    const built = await runShell('docker compose build aizumi', { cwd: folder, env, timeoutMs: BLOCK_MS });
    expect(built.code, built.output).to.equal(0);

    // a replica that is slow on a busy machine is no fault of the upgrade
    const load = startSteadyLoad(url, 200, 14_000, { durability: 'primary' });
    await run('compose-upgrade');
    const { requests, seconds, failed } = await load.stop();
    console.log(`      ${requests} requests, ${Math.round(requests / seconds)} a second`);
    expect(failed).to.deep.equal([]);
    expect(requests).to.be.above(1_000);
    const now = await containers('aizumi');
    expect(now).to.have.length(2);
    for (const id of now) expect(old).not.to.include(id);
    for (const id of now) expect(await imageOf(id)).not.to.equal(oldImage);
  });

  let billing = '';
  it('create a key for a client in operation', async () => {
    billing = (await run('compose-key')).stdout;
    const statusAs = async (saddr: number): Promise<number> =>
      (await post(url, sendRequest(201, 1, 'x', saddr), { authorization: `Bearer ${billing}` })).status;
    await until('both workers know it', async () =>
      (await Promise.all([1, 2, 3, 4].map(() => statusAs(100)))).every((status) => status === 200),
    );
    expect(await statusAs(101)).to.equal(403);
    await run('compose-forget-first-key');
    expect(await isKnown(firstKey())).to.equal(true);
  });

  it('rotate a key: the new one is accepted at once, and the old one is refused after it was revoked', async () => {
    const next = (await run('compose-key')).stdout;
    const [, old] = /\b([0-9a-f]{8,})\b/.exec((await run('compose-key-ids')).stdout)!;
    const statusAs = async (key: string): Promise<number> =>
      (await post(url, sendRequest(201, 1, 'x', 100), { authorization: `Bearer ${key}` })).status;
    await until('both workers know the new key', async () =>
      (await Promise.all([1, 2, 3, 4].map(() => statusAs(next)))).every((status) => status === 200),
    );
    await run('compose-key-revoke', { '--id ID': `--id ${old}` });
    await until('both workers refuse the old key', async () =>
      (await Promise.all([1, 2, 3, 4].map(() => statusAs(billing)))).every((status) => status === 401),
    );
    expect(await statusAs(next)).to.equal(200);
  });

  it('back up messages and keys, and restore both into new volumes', async () => {
    for (const id of [1, 2]) await post(url, sendRequest(15_000, id));
    await post(url, recvRequest(15_000)); // leased messages are in the backup too
    await run('backup');
    const [backup] = readdirSync(folder).filter((name) => name.startsWith('backup-'));
    expect(readdirSync(join(folder, backup!)).sort()).to.deep.equal(['keys.yaml', 'messages.rdb']);
    expect(readFileSync(join(folder, backup!, 'keys.yaml'), 'utf8')).not.to.include(firstKey().slice(7));
    await post(url, sendRequest(15_000, 3)); // after the backup
    const before = await container('redis-1');

    await run('restore');
    expect(await container('redis-1')).not.to.equal(before);
    await whole();
    expect(await isKnown(firstKey())).to.equal(true);
    const ids = [
      await until('the first message is delivered', () => idAt(15_000), 3 * LEASE_MS),
      await until('the second message is delivered', () => idAt(15_000), 3 * LEASE_MS),
    ];
    expect(ids.sort()).to.deep.equal([1, 2]);
    const { queue } = (await post(url, statRequest(15_000))).json.payload as { queue: Record<string, number> };
    expect(queue.waiting! + queue.leased!, 'without what was sent after the backup').to.equal(2);
  });

  it('delete nothing if the backup to restore is truncated', async () => {
    await runShell(
      'mkdir backup-9 && head -c 100 backup-2*/messages.rdb >backup-9/messages.rdb && cp backup-2*/keys.yaml backup-9',
      {
        cwd: folder,
      },
    );
    const before = await container('redis-1');
    const env = { ...shellEnv, STACK_IMAGE: IMAGE };
    const { code, output } = await runBlock('restore', { cwd: folder, env, timeoutMs: BLOCK_MS });
    rmSync(join(folder, 'backup-9'), { recursive: true });
    expect(code, output).not.to.equal(0);
    expect(output).to.include('this is not a whole snapshot');
    expect(await container('redis-1')).to.equal(before);
    expect(await statusWith(firstKey())).to.equal(200);
  });

  it('replace the passwords of Redis, and keep messages and keys', async () => {
    const passwords = async (): Promise<string> =>
      compose('exec', '--no-TTY', 'redis-1', 'cat', '/passwords/redis/password', '/passwords/aizumi/password');
    const old = await passwords();
    await post(url, sendRequest(16_000, 5));
    await run('compose-passwords');
    await whole();
    expect(await passwords())
      .to.match(/^[0-9a-f]{128}$/)
      .and.not.to.equal(old);
    expect(await isKnown(firstKey())).to.equal(true);
    expect(await idAt(16_000)).to.equal(5);
  });

  it('promote a replica by hand after the disk of the last primary was lost and no node may be elected', async () => {
    await post(url, sendRequest(17_000, 6));
    if ((await primary()) === 'redis-2') {
      await compose('exec', '--no-TTY', 'redis-2', 'sh', '/opt/aizumi/hand-over.sh');
      await whole();
    }
    const lost = await primary();
    const ids = await Promise.all(REDIS_NODES.map(container));
    await docker('kill', ...ids);
    await compose('rm', '--force', '--volumes', lost);
    await docker('volume', 'rm', `aizumi-test_${lost}`);
    const others = REDIS_NODES.filter((node) => node !== lost);
    await docker('start', ...(await Promise.all(others.map(container))));
    await until(
      'the others run, and may not be elected',
      async () => {
        const infos = await Promise.all(others.map((node) => redis(node, 'INFO', 'replication').catch(() => '')));
        return infos.every((info) => info.includes('slave_priority:0'));
      },
      30_000,
    );
    await run('compose-elect');
    await until(
      'redis-2 leads',
      async () => (await redis('redis-2', 'ROLE').catch(() => '')).startsWith('master'),
      60_000,
    );
    await runShell(`docker compose up --detach --no-build --wait`, {
      cwd: folder,
      env: { ...shellEnv, STACK_IMAGE: IMAGE },
      timeoutMs: BLOCK_MS,
    });
    await whole();
    expect(await idAt(17_000)).to.equal(6);
  });

  it('move from a single Redis to three with Sentinels', async () => {
    await down();
    const env = { ...shellEnv, STACK_IMAGE: IMAGE };
    const single = await runShell(
      'docker compose --profile single up --detach --wait && docker compose run --rm -T keys cat /first-key/key',
      { cwd: folder, env, timeoutMs: BLOCK_MS },
    );
    process.env.AIZUMI_TEST_KEY = single.stdout.split('\n').pop()!;
    for (const id of [1, 2]) expect((await post(url, sendRequest(18_000, id))).status).to.equal(200);
    await run('single-to-sentinels');
    await whole();
    expect([await idAt(18_000), await idAt(18_000)]).to.deep.equal([1, 2]);
  });
});
