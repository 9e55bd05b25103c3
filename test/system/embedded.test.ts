// The embedded Redis server as its owner sees it: crashes of everything, one owner per folder, clear refusals, a clean end.
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { startEmbeddedRedis } from '../../src/redis/embedded/embedded.js';
import type { EmbeddedRedis } from '../../src/redis/embedded/embedded.js';
import { takeLock } from '../../src/redis/embedded/folder-lock.js';
import { putCheckRdb } from '../support/check-rdb.js';
import { patient } from '../../harness/patience.js';
import { testServerProgram } from '../../harness/redis-server.js';

interface LogLine {
  level: number;
  msg: string;
  pauseMs?: number;
}
interface Owner {
  child: ChildProcess;
  pid: number;
  socketPath: string;
  error?: string;
}

const ERROR = 50;
const ownerScript = fileURLToPath(new URL('../support/embedded-owner.ts', import.meta.url));

describe('the embedded Redis server', function () {
  this.timeout(15_000);
  let temp: string;
  let dataDir: string;
  let logged: LogLine[];
  let opened: EmbeddedRedis[];
  let owners: ChildProcess[];
  let servers: Set<number>;

  beforeEach(async () => {
    temp = await mkdtemp(join(tmpdir(), 'aizumi-test-'));
    dataDir = join(temp, 'data');
    logged = [];
    opened = [];
    owners = [];
    servers = new Set();
  });

  afterEach(async () => {
    await Promise.all(opened.map((redis) => redis.stop()));
    for (const owner of owners) if (owner.exitCode === null && owner.signalCode === null) owner.kill('SIGKILL');
    for (const pid of servers) if (await isRunning(pid)) process.kill(pid, 'SIGKILL');
    await rm(temp, { recursive: true, force: true });
  });

  async function start(program = testServerProgram, folder = dataDir): Promise<EmbeddedRedis> {
    const log = pino({ level: 'debug' }, { write: (line) => void logged.push(JSON.parse(line)) });
    const redis = await startEmbeddedRedis({ dataDir: folder, program, log });
    opened.push(redis);
    servers.add(await serverPid(redis));
    return redis;
  }

  /** Another process that starts one, as a user's aizumi would. */
  async function startOwner(): Promise<Owner> {
    const child = spawn(process.execPath, ['--import', 'tsx', ownerScript, dataDir, testServerProgram], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    owners.push(child);
    const [line] = await once(createInterface(child.stdout), 'line');
    const owner = { child, pid: child.pid!, ...JSON.parse(line) };
    if (!owner.error) servers.add(await serverPid(owner));
    return owner;
  }

  async function refusal(starting: Promise<unknown>): Promise<string> {
    return starting.then(
      () => expect.fail('it started'),
      (error: unknown) => (error as Error).message,
    );
  }

  it('keeps every message when the server is killed, and is back within a second', async () => {
    const redis = await start();
    await addMessages(redis, 'one', 'two');
    const killed = await serverPid(redis);
    process.kill(killed, 'SIGKILL');
    const killedAt = performance.now();
    await until('the server is back', async () => (await serverPid(redis).catch(() => killed)) !== killed);
    expect(performance.now() - killedAt).to.be.below(patient(1_000));
    servers.add(await serverPid(redis));
    expect(await messages(redis)).to.deep.equal(['one', 'two']);
    expect(logged.find((line) => line.level === ERROR)).to.include({ signal: 'SIGKILL', redisPid: killed });
  });

  it('keeps every message when the server and its owner are killed, and takes the lock that they left', async () => {
    const owner = await startOwner();
    await addMessages(owner, 'one', 'two');
    const server = await serverPid(owner);
    await kill(owner.child, 'SIGKILL');
    process.kill(server, 'SIGKILL');
    await until('the server is gone', async () => !(await isRunning(server)));
    expect(await locks(), 'the lock left behind').to.have.length(1);
    expect(await messages(await start())).to.deep.equal(['one', 'two']);
    expect(await locks()).to.have.length(1);
  });

  it('takes over from a server that its killed owner left running', async () => {
    const owner = await startOwner();
    await addMessages(owner, 'one', 'two');
    const orphan = await serverPid(owner);
    await kill(owner.child, 'SIGKILL');
    expect(await isRunning(orphan)).to.equal(true);
    const redis = await start();
    expect(await serverPid(redis)).not.to.equal(orphan);
    await until('the server left running is gone', async () => !(await isRunning(orphan)));
    expect(await messages(redis)).to.deep.equal(['one', 'two']);
    expect(logged.map((line) => line.msg)).to.include(
      'shut down the Redis server that a killed aizumi had left running',
    );
  });

  it('restarts a server that keeps dying at once first, then after growing pauses', async () => {
    const runs = join(temp, 'runs');
    const program = await script(
      'flaky-server',
      `[ "$1" = --version ] && exec ${await realProgram()} --version`,
      `echo run >> ${runs}`,
      `case $(wc -l < ${runs}) in *2|*3) echo dying >&2; exit 3;; esac`,
      `exec ${await realProgram()} "$@"`,
    );
    const redis = await start(program);
    process.kill(await serverPid(redis), 'SIGKILL');
    await until('the server is back', () => logged.some((line) => line.msg === 'the Redis server is running again'));
    servers.add(await serverPid(redis));
    const deaths = logged.filter((line) => line.level === ERROR);
    expect(deaths.map((line) => line.pauseMs)).to.deep.equal([0, 100, 200]);
    expect(deaths[1])
      .to.include({ code: 3 })
      .and.to.deep.include({ lastLines: ['dying'] });
  });

  it('refuses a folder that another instance uses, and leaves that one alone', async () => {
    const owner = await startOwner();
    await addMessages(owner, 'one');
    const message = await refusal(start());
    expect(message).to.include(`the data folder ${dataDir} is in use by another aizumi (pid ${owner.pid})`);
    expect(message).to.include('AIZUMI_DATA_DIR');
    expect(await messages(owner)).to.deep.equal(['one']);
    expect(await locks()).to.have.length(1);
  });

  it('refuses a folder whose owner hangs', async () => {
    const owner = await startOwner();
    owner.child.kill('SIGSTOP');
    expect(await refusal(start())).to.include(`in use by another aizumi (pid ${owner.pid}, which does not answer)`);
  });

  it('lets one win of several that start at the same moment over a lock left behind', async () => {
    const killed = await startOwner();
    await kill(killed.child, 'SIGKILL');
    const started = await Promise.all([startOwner(), startOwner(), startOwner()]);
    expect(started.filter((owner) => owner.error === undefined)).to.have.length(1);
    for (const { error } of started) if (error !== undefined) expect(error).to.include('is in use by another aizumi');
  });

  it('gives the lock to exactly one of many, every time', async () => {
    for (let round = 0; round < 20; round += 1) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(temp, dataDir)));
      const won = tries.filter((attempt) => attempt.status === 'fulfilled');
      expect(won).to.have.length(1);
      await won[0]!.value();
    }
    expect(await readdir(temp)).to.deep.equal([]);
  });

  it('keeps its sockets from other users, also in a folder that is open to them', async () => {
    await chmod(temp, 0o755);
    await mkdir(join(dataDir, 'run'), { recursive: true });
    await chmod(join(dataDir, 'run'), 0o777);
    const redis = await start();
    expect(await mode(join(dataDir, 'run'))).to.equal(0o700);
    expect(await mode(redis.socketPath)).to.equal(0o600);
    expect(await mode(join(dataDir, 'appendonlydir'))).to.equal(0o700);
    if (process.getuid?.() === 0) expect(await connectAs(65534, redis.socketPath)).to.equal('EACCES');
  });

  it('makes its data folder for this user only', async () => {
    await start();
    expect(await mode(dataDir)).to.equal(0o700);
  });

  it('runs in a folder whose path is too long for a socket', async () => {
    const long = join(temp, 'a long name '.repeat(12).trim(), 'data');
    const redis = await start(testServerProgram, long);
    await addMessages(redis, 'one');
    expect(Buffer.byteLength(redis.socketPath)).to.be.at.most(100);
    expect(await mode(join(redis.socketPath, '../..'))).to.equal(0o700);
    expect(await refusal(start(testServerProgram, long))).to.include('is in use by another aizumi');
    await redis.stop();
    expect(await exists(join(redis.socketPath, '../..'))).to.equal(false);
    expect(await messages(await start(testServerProgram, long))).to.deep.equal(['one']);
  });

  it('says what to do when there is no such server program', async () => {
    const message = await refusal(start('/no/such/redis-server'));
    expect(message).to.include('/no/such/redis-server').and.to.include('npm run setup');
    expect(message).to.include('AIZUMI_REDIS_SERVER');
  });

  it('refuses a server that is too old, and a program that is no server', async () => {
    const old = await script('old-server', 'echo "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=0"');
    expect(await refusal(start(old))).to.include(`${old} is Redis 6.2.14, and aizumi needs Redis 7.0 or newer`);
    const other = await script('other', 'echo "something else"');
    expect(await refusal(start(other))).to.include('neither a redis-server nor a valkey-server');
    const broken = await script('broken', 'echo "libfoo.so is missing" >&2; exit 127');
    expect(await refusal(start(broken))).to.include('libfoo.so is missing');
  });

  it("passes on the server's own words when it cannot start on damaged data, and what to do", async () => {
    const redis = await start();
    await addMessages(redis, 'one');
    await redis.stop();
    const aof = join(dataDir, 'appendonlydir/appendonly.aof.1.incr.aof');
    const whole = await readFile(aof);
    await writeFile(aof, Buffer.concat([Buffer.from('rubbish\r\n'), whole]));
    const message = await refusal(start());
    expect(message)
      .to.include('Bad file format reading the append only file')
      .and.to.include('restore a backup of the folder');
    await writeFile(aof, whole);
    expect(await messages(await start())).to.deep.equal(['one']);
  });

  it('refuses a folder whose data it would not load, and names what does', async () => {
    const redis = await start();
    await addMessages(redis, 'one');
    await using(redis, (client) => client.bgrewriteaof());
    const folder = join(dataDir, 'appendonlydir');
    const base = 'appendonly.aof.2.base.rdb';
    await until('it is rewritten', async () => (await readdir(folder)).join().includes(base));
    await redis.stop();

    const manifest = join(folder, 'appendonly.aof.manifest');
    await rename(manifest, join(temp, 'manifest'));
    expect(await refusal(start()))
      .to.include('but not appendonly.aof.manifest')
      .and.to.include(base);
    await rename(join(temp, 'manifest'), manifest);
    expect(await messages(await start())).to.deep.equal(['one']);

    const snapshot = join(temp, 'snapshot/dump.rdb');
    await mkdir(join(temp, 'snapshot'));
    await copyFile(join(folder, base), snapshot);
    const message = await refusal(start(testServerProgram, join(temp, 'snapshot')));
    expect(message).to.include('has a snapshot, dump.rdb, and no append-only file');
    // what it says is what to do
    putCheckRdb(temp);
    const [, command] = /`(.*)`/.exec(message)!;
    const env = { ...process.env, PATH: `${temp}:${process.env.PATH}` };
    await promisify(execFile)('sh', ['-c', command!], { env });
    expect(await messages(await start(testServerProgram, join(temp, 'snapshot')))).to.deep.equal(['one']);
  });

  it('names a data folder that it cannot use', async () => {
    await writeFile(dataDir, 'a file');
    expect(await refusal(start()))
      .to.include(`cannot use ${dataDir}`)
      .and.to.include('AIZUMI_DATA_DIR');
  });

  it('clears away what a server left that was killed while it rewrote its file', async () => {
    const owner = await startOwner();
    await using(owner, async (client) => {
      await client.config('SET', 'rdb-key-save-delay', '3000000'); // the rewrite then takes 3 s for one key
      await client.xadd('queue', '*', 'payload', 'one');
      await client.bgrewriteaof();
    });
    const half = async (): Promise<string[]> => (await readdir(dataDir)).filter((name) => name.startsWith('temp-'));
    await until('the rewrite has begun', async () => (await half()).length > 0);
    const server = await serverPid(owner);
    await kill(owner.child, 'SIGKILL');
    process.kill(server, 'SIGKILL');
    const redis = await start();
    expect(await half()).to.deep.equal([]);
    expect(await messages(redis)).to.deep.equal(['one']);
  });

  it('leaves no process and no socket after a clean stop', async () => {
    const owner = await startOwner();
    const server = await serverPid(owner);
    await kill(owner.child, 'SIGTERM');
    expect(owner.child.exitCode).to.equal(0);
    expect(await isRunning(server)).to.equal(false);
    expect(await readdir(join(dataDir, 'run'))).to.deep.equal([]);
  });

  it('gives a hung server 5 s: then kills its own, and says which process to end where one was left running', async () => {
    const owner = await startOwner();
    const orphan = await serverPid(owner);
    await kill(owner.child, 'SIGKILL');
    const other = join(temp, 'other');
    const redis = await start(testServerProgram, other);
    const own = await serverPid(redis);
    process.kill(orphan, 'SIGSTOP');
    process.kill(own, 'SIGSTOP');

    const [message] = await Promise.all([refusal(start()), redis.stop()]);
    expect(message).to.include(`(pid ${orphan}) does not answer`).and.to.include(`kill -9 ${orphan}`);
    expect(await isRunning(own)).to.equal(false);
    expect(logged.find((line) => line.level === ERROR)?.msg).to.include('did not stop within 5 s');
    expect(await readdir(join(other, 'run'))).to.deep.equal([]);

    process.kill(orphan, 'SIGKILL');
    await until('the hung server is gone', async () => !(await isRunning(orphan)));
    await start();
  });

  it('leaves no server when its owner crashes', async () => {
    const owner = await startOwner();
    const server = await serverPid(owner);
    await kill(owner.child, 'SIGHUP');
    await until('the server is gone', async () => !(await isRunning(server)));
  });

  it('does not pass on Ctrl+C: the server is there while its owner drains', async () => {
    const owner = await startOwner();
    const server = await serverPid(owner);
    expect(await ps(server, 'pgid')).not.to.equal(String(owner.pid)); // Ctrl+C goes to the owner's group
    process.kill(-owner.pid, 'SIGINT');
    await addMessages(owner, 'one');
    await kill(owner.child, 'SIGTERM');
    expect(await isRunning(server)).to.equal(false);
    expect(await messages(await start())).to.deep.equal(['one']);
  });

  async function locks(): Promise<string[]> {
    return (await readdir(join(dataDir, 'run'))).filter((name) => name.endsWith('.lock'));
  }

  async function script(name: string, ...lines: string[]): Promise<string> {
    const path = join(temp, name);
    await writeFile(path, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
    return path;
  }
});

async function using<T>(at: { socketPath: string }, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ path: at.socketPath, lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined); // connect() rejects with it
  try {
    await client.connect();
    return await work(client);
  } finally {
    client.disconnect();
  }
}

async function addMessages(at: { socketPath: string }, ...payloads: string[]): Promise<void> {
  await using(at, async (client) => {
    for (const payload of payloads) await client.xadd('queue', '*', 'payload', payload);
  });
}

function messages(at: { socketPath: string }): Promise<string[]> {
  return using(at, async (client) => (await client.xrange('queue', '-', '+')).map(([, fields]) => fields[1]!));
}

function serverPid(at: { socketPath: string }): Promise<number> {
  return using(at, async (client) => Number(/process_id:(\d+)/.exec(await client.info('server'))![1]));
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** False also for one that ended and was not yet waited for. */
async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !(await ps(pid, 'stat').catch(() => 'Z')).startsWith('Z');
}

async function ps(pid: number, column: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ps', ['-o', `${column}=`, '-p', String(pid)]);
  return stdout.trim();
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}`);
    await delay(10);
  }
}

async function mode(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function realProgram(): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v "$0"', testServerProgram]);
  return stdout.trim();
}

/** What another user's attempt to connect comes to: an error code, or 'connected'. */
async function connectAs(uid: number, path: string): Promise<string> {
  const attempt = `require('net').connect(process.argv[1]).on('connect', function () { console.log('connected'); this.destroy(); })
    .on('error', (error) => console.log(error.code))`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', attempt, path], { uid, gid: uid, cwd: '/' });
  return stdout.trim();
}
