// The undocumented parts of ioredis and Node that aizumi uses (private-api.ts in src/redis and src/http/server): if a new
// version no longer has one of them, a test here fails and names it.
import { readFileSync } from 'node:fs';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { AbstractConnector, Cluster, Command, Redis } from 'ioredis';
import {
  isAccepting,
  setHalfOpen,
  stopAccepting,
  watchHandOver,
  wrappedBy,
} from '../../src/http/server/private-api.js';
import * as api from '../../src/redis/private-api.js';
import type { CommandItem } from '../../src/redis/private-api.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';

describe('redis/private-api', function () {
  this.timeout(10_000);
  let server: TestServer;
  let opened: (Redis | Cluster)[] = [];
  before(async () => (server = await startRedisServer()));
  afterEach(() => {
    for (const redis of opened) redis.disconnect();
    opened = [];
  });
  after(() => server.stop());

  const offline = { enableOfflineQueue: false, retryStrategy: () => null, maxRetriesPerRequest: 0 };
  function keep<T extends Redis | Cluster>(redis: T): T {
    opened.push(redis);
    redis.on('error', () => undefined);
    return redis;
  }
  async function connected(options: object = {}): Promise<Redis> {
    const redis = keep(new Redis({ port: server.port, ...offline, ...options }));
    await once(redis, 'ready');
    return redis;
  }
  const failure = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => '',
      (error: unknown) => (error as Error).message,
    );

  it('is tested with the version that package.json and package-lock.json pin', () => {
    const read = (path: string): any => JSON.parse(readFileSync(path, 'utf8'));
    const { version } = read('node_modules/ioredis/package.json');
    expect(read('package.json').dependencies.ioredis).to.equal(version);
    const { packages } = read('package-lock.json');
    expect(packages[''].dependencies.ioredis).to.equal(version);
    expect(packages['node_modules/ioredis'].version).to.equal(version);
  });

  it('has the socket once it is connected, and none before', async () => {
    const redis = keep(new Redis({ port: server.port, ...offline, lazyConnect: true }));
    expect(api.socketOf(redis)).to.equal(undefined);
    const [port] = await new Promise<[number | undefined]>((resolve) => {
      redis.on('connect', () => resolve([api.socketOf(redis).remotePort]));
      redis.connect().catch(() => undefined);
    });
    expect(port).to.equal(server.port);
  });

  it('counts commands until they are answered', async () => {
    const redis = await connected();
    const answers = [redis.ping(), redis.ping()];
    expect(api.unansweredOn(redis)).to.equal(2);
    await Promise.all(answers);
    expect(api.unansweredOn(redis)).to.equal(0);
  });

  it('reports with this message that a command was not sent', async () => {
    expect(await failure(keep(new Redis({ port: 1, ...offline })).ping())).to.match(new RegExp(`^${api.NOT_SENT}`));
    const nodes = keep(new Cluster([{ host: '127.0.0.1', port: 1 }], { ...offline, lazyConnect: true }));
    expect(await failure(nodes.get('a'))).to.match(new RegExp(`^${api.CLUSTER_NOT_SENT}`));
    const source = readFileSync('node_modules/ioredis/built/cluster/index.js', 'utf8');
    expect(source).to.contain(`new Error("${api.TOO_MANY_REDIRECTIONS}`);
  });

  it('emits no error if a disconnected connector fails with this message, but one for any other', async () => {
    const emitted = async (message: string): Promise<string[]> => {
      class Failing extends AbstractConnector {
        constructor() {
          super(0);
        }
        override connect(): Promise<never> {
          return Promise.reject(new Error(message));
        }
      }
      const errors: string[] = [];
      const redis = keep(new Redis({ ...offline, Connector: Failing, lazyConnect: true }));
      redis.on('error', (error: Error) => errors.push(error.message));
      const attempt = redis.connect().catch(() => undefined);
      redis.disconnect();
      await attempt;
      return errors;
    };
    expect(await emitted(api.CLOSED)).to.deep.equal([]);
    expect(await emitted('another')).to.deep.equal(['another']);
  });

  it('accepts an existing connector, and asks it whether the server is acceptable', async () => {
    const asked: unknown[] = [];
    class Own extends AbstractConnector {
      override check(info: { role?: string }): boolean {
        asked.push(info.role);
        return true;
      }
      override connect(): Promise<Socket> {
        this.connecting = true;
        this.stream = connect(server.port, '127.0.0.1');
        return Promise.resolve(this.stream);
      }
      get isConnecting(): boolean {
        return this.connecting;
      }
    }
    const own = new Own(50);
    const redis = await connected({ Connector: api.connectorOption(own) });
    expect(api.socketOf(redis).remotePort).to.equal(server.port);
    expect(asked).to.deep.equal(['master']);
    redis.disconnect();
    expect(own.isConnecting).to.equal(false);
  });

  it('passes every command through sendCommand, and every error reply through handleReconnection', async () => {
    const seen: string[] = [];
    class Watched extends Redis {
      override sendCommand(command: Command, ...how: []): unknown {
        seen.push(command.name);
        return super.sendCommand(command, ...how);
      }
      override handleReconnection(error: Error, item: CommandItem): void {
        seen.push(`${(item.command as unknown as Command).name} refused`);
        super.handleReconnection(error, item);
      }
    }
    const redis = keep(new Watched({ port: server.port, ...offline }));
    await once(redis, 'ready');
    seen.length = 0;
    await redis.set('text', 'a');
    await failure(redis.incr('text'));
    expect(seen).to.deep.equal(['set', 'incr', 'incr refused']);
    const watched: string[] = [];
    api.watchSending(redis, ({ name }) => watched.push(name));
    await redis.get('text');
    expect(watched).to.deep.equal(['get']);
  });

  it('calls resolve and reject of a command by these names', async () => {
    const redis = await connected();
    const settled = (name: string, key: string): Promise<unknown> =>
      new Promise((resolve) => {
        const command = new Command(name, [key], { replyEncoding: 'utf8' });
        command.resolve = (value: unknown) => resolve(String(value));
        command.reject = (error: Error) => resolve(error.message.slice(0, 3));
        void redis.sendCommand(command);
      });
    await redis.set('text', 'a');
    expect(await settled('get', 'text')).to.equal('a');
    expect(await settled('incr', 'text')).to.equal('ERR');
  });

  it('makes a class of its own for each script', async () => {
    const scripts = { one: { lua: 'return 1', numberOfKeys: 1 }, two: { lua: 'return 2', numberOfKeys: 1 } };
    const redis = (await connected({ scripts })) as Redis & Record<'one' | 'two', (key: string) => Promise<number>>;
    const commands: Command[] = [];
    api.watchSending(redis, (command) => commands.push(command));
    await redis.one('a');
    await redis.two('a');
    await redis.one('b');
    await redis.get('a');
    const called = commands.filter(api.isOfScript);
    const kinds = new Set(called.map(api.kindOf));
    expect(kinds.size).to.equal(2);
    expect(commands.filter((command) => !api.isOfScript(command)).map(api.kindOf)).to.include('get');
  });

  it('logs in with the changed options', async () => {
    const { port } = server;
    const admin = await connected();
    await admin.config('SET', 'requirepass', 'secret');
    try {
      const redis = keep(new Redis({ port, ...offline, password: 'wrong', retryStrategy: () => 10 }));
      redis.on('close', () => api.changeLogin(redis, { password: 'secret' }));
      redis.on('error', () => redis.disconnect(true));
      await new Promise<void>((resolve) => redis.on('ready', resolve));
    } finally {
      await admin.config('SET', 'requirepass', '');
    }
  });

  it('waits for silent replies when socketTimeout was removed', async () => {
    const redis = await connected({ socketTimeout: 50 });
    api.removeSocketTimeout(redis);
    expect(await redis.wait(1, 200)).to.equal(0);
  });

  it('keeps the nodes of each slot, the primary first', () => {
    const nodes = keep(new Cluster([{ host: '127.0.0.1', port: 1 }], { ...offline, lazyConnect: true }));
    const slot = api.slotOfKey('{a}:b');
    expect(slot).to.equal(15_495);
    expect(api.primaryOfSlot(nodes, slot)).to.equal(undefined);
    api.setPrimaryOfSlot(nodes, slot, '127.0.0.1:2');
    expect(api.primaryOfSlot(nodes, slot)).to.equal('127.0.0.1:2');
  });

  it('calls back when the slot map was fetched, or the fetch failed', async () => {
    const nodes = keep(new Cluster([{ host: '127.0.0.1', port: 1 }], { ...offline, lazyConnect: true }));
    await new Promise<void>((resolve) => api.refreshSlots(nodes, resolve));
  });
});

describe('http/server/private-api', () => {
  it('knows the connection beneath TLS', () => {
    const plain = connect(1, '127.0.0.1').on('error', () => undefined);
    const wrapped = new TLSSocket(plain);
    wrapped.on('error', () => undefined);
    expect(wrappedBy(wrapped)).to.equal(plain);
    expect(wrappedBy(plain)).to.equal(undefined);
    wrapped.destroy();
  });

  it('answers a client that has half-closed, and keeps idle connections open when it stops listening', async () => {
    const accepting: unknown[] = [];
    const server = createServer((_req, res) => {
      accepting.push(isAccepting(res));
      setImmediate(() => res.end());
    });
    setHalfOpen(server, true);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const idle = connect(port, '127.0.0.1');
    idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(idle, 'data');
    const half = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    half.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(String(await once(half, 'data'))).to.contain('200 OK');
    half.destroy();
    const closed = new Promise<void>((resolve) => stopAccepting(server, resolve));
    idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(idle, 'data');
    expect(accepting).to.deep.equal([true, true, false]);
    idle.destroy();
    await closed;
  });

  it('observes which connections node:cluster hands to a worker, and whether these are accepted', async () => {
    cluster.setupPrimary({ exec: 'test/support/cluster-worker.mjs', execArgv: [], args: [] });
    const worker = cluster.fork();
    try {
      const seen: unknown[] = [];
      const answered = new Promise<void>((resolve) => {
        watchHandOver(worker, {
          onGiven: (seq, handle) => seen.push(seq, typeof handle.close),
          onAnswered(seq, isAccepted) {
            if (seq !== seen[0]) return;
            seen.push(isAccepted);
            resolve();
          },
        });
      });
      const [{ port }] = (await once(worker, 'listening')) as [{ port: number }];
      const client = connect(port, '127.0.0.1');
      await once(client, 'connect');
      await answered;
      expect(seen.slice(1)).to.deep.equal(['function', true]);
      client.destroy();
    } finally {
      worker.process.kill('SIGKILL');
    }
  });
});
