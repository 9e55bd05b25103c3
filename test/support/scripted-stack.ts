// Three nodes, each a Redis and a Sentinel, started by deploy/start-redis.sh and deploy/start-sentinel.sh as processes. Each
// node has a loopback address of its own, since the scripts count on the ports 6379 and 26379.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { testServerProgram } from './redis-server.js';
import { until } from './until.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
/** Under which the Sentinels know the primary. */
const NAME = 'mymaster';
/** Without one Redis reads its settings from a file, which Sentinel would have it rewrite. */
export const PASSWORD = 'a-secret';
const START_MS = 30_000;

export interface ScriptResult {
  /** null when a signal ended it. */
  code: number | null;
  output: string;
}

export interface ScriptedStack {
  /** The nodes' addresses. */
  readonly nodes: readonly string[];
  /** Runs a script of deploy/ as on that node, as `docker compose exec` and `kubectl exec` do. */
  run(node: string, script: string, ...args: string[]): Promise<ScriptResult>;
  /** One command to a node's Redis, or to its Sentinel. */
  redis(node: string, command: string, ...args: (string | number)[]): Promise<unknown>;
  sentinel(node: string, command: string, ...args: (string | number)[]): Promise<unknown>;
  /** What INFO replication says; {} when there is no answer. */
  replication(node: string): Promise<Record<string, string>>;
  /** The node that most Sentinels name; undefined while they do not agree. */
  named(): Promise<string | undefined>;
  /** Resolves with the primary when all follow it, are in step, may be elected, and all Sentinels know all of it. */
  whole(withinMs?: number): Promise<string>;
  /** A signal to a node's Redis or Sentinel and what its start script left in the background. */
  signal(node: string, process: 'redis' | 'sentinel', signal: NodeJS.Signals): void;
  /** Starts a Redis or Sentinel that was killed again, with its data. */
  restart(node: string, process?: 'redis' | 'sentinel'): void;
  /** The folder that stands for a node's claim: `redis` and `sentinel` are in it, as in Kubernetes. */
  claim(node: string): string;
  /** What scripts run with on that node. */
  env(node: string): NodeJS.ProcessEnv;
  stop(): void;
}

const folders = new Set<() => void>();
process.on('exit', () => {
  for (const discard of folders) discard();
});

/** What the scripts call, with one difference: 127.0.0.1 is the node's own address. */
function standIns(folder: string): void {
  const server = testServerProgram.includes('/') ? resolve(testServerProgram) : testServerProgram;
  const path = process.env.PATH ?? '/usr/bin:/bin';
  const find = (name: string): string =>
    path
      .split(':')
      .map((entry) => join(entry, name))
      .find(existsSync) ?? name;
  const program = server.includes('/') ? server : find(server);
  const beside = ['valkey-cli', 'redis-cli'].map((name) => join(dirname(server), name)).find(existsSync);
  const programs = {
    // the settings of a Redis come on standard input, since it has a password
    'redis-server': [
      '#!/bin/bash',
      'set -- "${@//\\/etc\\/aizumi/$CONF}" --bind "$SELF"',
      `[ "$1" = - ] && exec ${program} "$@" < <(sed "s#/etc/aizumi#$CONF#")`,
      `exec ${program} "$@"`,
    ].join('\n'),
    'redis-cli': `#!/bin/bash\nexec ${beside ?? find('redis-cli')} "\${@/#127.0.0.1/$SELF}"\n`,
    // the applet that the scripts use, where there is no busybox
    busybox: '#!/bin/sh\nexec "$@"\n',
  };
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o755);
  }
}

export async function startScriptedStack(env: Record<string, string> = {}): Promise<ScriptedStack> {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-scripted-'));
  standIns(folder);
  // a net of its own beside what else is tested on this machine
  const net = `127.${1 + Math.floor(Math.random() * 254)}.${Math.floor(Math.random() * 256)}`;
  const nodes = [1, 2, 3].map((i) => `${net}.${i}`);
  const children = new Map<string, ChildProcess>();
  const discard = (): void => {
    for (const child of children.values()) killGroup(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  folders.add(discard);

  const envOf = (node: string): NodeJS.ProcessEnv => ({
    PATH: `${folder}:${process.env.PATH}`,
    CONF: join(ROOT, 'src/redis'),
    SELF: node,
    NODES: nodes.join(' '),
    SENTINELS: nodes.join(' '),
    REDISCLI_AUTH: PASSWORD,
    ...env,
  });

  function start(node: string, process: 'redis' | 'sentinel'): void {
    const data = join(stack.claim(node), process);
    mkdirSync(data, { recursive: true });
    const child = spawn('sh', [join(ROOT, `deploy/start-${process}.sh`)], {
      env: { ...envOf(node), DATA: data },
      stdio: ['ignore', openSync(join(data, 'log'), 'a'), openSync(join(data, 'log'), 'a')],
      detached: true,
    });
    children.set(`${process} ${node}`, child);
  }

  const call = async (node: string, port: number, command: string, args: (string | number)[]): Promise<unknown> => {
    const redis = new Redis({
      host: node,
      port,
      ...(port === REDIS_PORT ? { password: PASSWORD } : {}),
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      connectTimeout: 500,
      commandTimeout: 1000,
    });
    redis.on('error', () => undefined); // the command fails with it
    try {
      return await redis.call(command, ...args);
    } finally {
      redis.disconnect();
    }
  };

  const stack: ScriptedStack = {
    nodes,
    async run(node, script, ...args) {
      const options = { env: envOf(node), timeout: START_MS };
      const child = spawn('sh', [join(ROOT, 'deploy', script), ...args], { ...options, stdio: 'pipe' });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output };
    },
    redis: (node, command, ...args) => call(node, REDIS_PORT, command, args),
    sentinel: (node, command, ...args) => call(node, SENTINEL_PORT, command, args),
    async replication(node) {
      const text = String(await stack.redis(node, 'INFO', 'replication').catch(() => ''));
      return Object.fromEntries([...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]));
    },
    async named() {
      const words = await Promise.all(
        nodes.map((node) => stack.sentinel(node, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME).catch(() => [])),
      );
      const names = words.map((word) => (word as string[])[0]);
      return nodes.find((node) => names.filter((name) => name === node).length > nodes.length / 2);
    },
    whole: (withinMs = START_MS) =>
      until('the nodes are in step and all Sentinels agree', () => isWhole().catch(() => undefined), withinMs),
    signal: (node, process, signal) => killGroup(children.get(`${process} ${node}`)!, signal),
    restart: (node, process = 'redis') => start(node, process),
    claim: (node) => join(folder, node),
    env: envOf,
    stop() {
      discard();
      folders.delete(discard);
    },
  };

  async function isWhole(): Promise<string | undefined> {
    const primary = await stack.named();
    if (primary === undefined) return undefined;
    const { role, master_repl_offset: offset } = await stack.replication(primary);
    if (role !== 'master') return undefined;
    for (const node of nodes.filter((each) => each !== primary)) {
      const its = await stack.replication(node);
      if (its.master_host !== primary || its.master_link_status !== 'up' || its.slave_priority !== '100')
        return undefined;
      if (Number(its.slave_repl_offset) < Number(offset)) return undefined;
    }
    for (const node of nodes) {
      const facts = fieldsOf(await stack.sentinel(node, 'SENTINEL', 'MASTER', NAME));
      if (facts.ip !== primary || facts.flags !== 'master' || facts['num-slaves'] !== '2') return undefined;
      if (facts['num-other-sentinels'] !== '2') return undefined;
      const replicas = (await stack.sentinel(node, 'SENTINEL', 'REPLICAS', NAME)) as unknown[];
      const seen = replicas.map(fieldsOf);
      const wellSeen = seen.every((replica) => replica.flags === 'slave' && replica['slave-priority'] === '100');
      if (!wellSeen || !seen.every((replica) => replica['master-host'] === primary)) return undefined;
    }
    return primary;
  }

  for (const node of nodes) {
    start(node, 'sentinel');
    start(node, 'redis');
  }
  try {
    await stack.whole();
  } catch (error) {
    stack.stop();
    throw error;
  }
  return stack;
}

/** A flat reply of names and values, as an object. */
export function fieldsOf(reply: unknown): Record<string, string> {
  const flat = reply as string[];
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])));
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid!, signal);
  } catch {
    // all of it has ended
  }
}
