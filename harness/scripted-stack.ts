// Three nodes, each a Redis and a Sentinel, started as processes by deploy/init.sh, as in their containers. Each node has a
// loopback address of its own, since the scripts rely on the ports 6379 and 26379.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { patient } from './patience.js';
import { testServerProgram } from './redis-server.js';
import { until } from './until.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
/** The name of the primary in Sentinel. */
const NAME = 'mymaster';
/** Without a password, Redis would read its settings from a file, which Sentinel would make it rewrite. */
export const PASSWORD = 'a-secret';
const START_MS = 30_000;

export interface ScriptResult {
  /** null if a signal ended it. */
  code: number | null;
  output: string;
}

export type Program = 'redis' | 'sentinel';

export interface ScriptedStackOptions {
  /** The scripts get names, as in Kubernetes, and resolve them with the file `names` of this stack. */
  byName?: boolean;
  /** Creates files in the folders of the Sentinels before they start. */
  prepare?: (data: string, node: string) => void;
}

export interface ScriptedStack {
  /** The addresses of the nodes; with `byName` those to which the names resolve now. */
  readonly nodes: readonly string[];
  /** Recreates the Services of these nodes: DNS has new addresses for them, and nothing listens at the old ones. */
  renew(nodes: readonly string[]): Promise<void>;
  /** The same while nothing runs: node i gets address i of the list; without a list, all nodes get new addresses. */
  readdress(addresses?: readonly string[]): void;
  /** Makes DNS answer no queries, or none from one node. */
  setSilent(silent: boolean, node?: string): void;
  /** Runs a script of deploy/ as on that node, as `docker compose exec` and `kubectl exec` do. */
  run(node: string, script: string, ...args: string[]): Promise<ScriptResult>;
  /** One command to a node's Redis, or to its Sentinel. */
  redis(node: string, command: string, ...args: (string | number)[]): Promise<unknown>;
  sentinel(node: string, command: string, ...args: (string | number)[]): Promise<unknown>;
  /** The fields of INFO replication; {} if there is no reply. */
  replication(node: string): Promise<Record<string, string>>;
  /** The node that most Sentinels name; undefined while they do not agree. */
  named(): Promise<string | undefined>;
  /** Resolves with the primary when all others follow it, are in sync and electable, and all Sentinels know this. */
  whole(withinMs?: number): Promise<string>;
  /** Signals a node's Redis or Sentinel, including its init and the processes beside it. */
  signal(node: string, program: Program, signal: NodeJS.Signals): void;
  /** Stops it as an orchestrator does: SIGTERM to PID 1. */
  tell(node: string, program: Program, signal?: NodeJS.Signals): void;
  /** Resolves with the exit code of its init once that has ended. */
  ended(node: string, program: Program): Promise<number | null>;
  log(node: string, program: Program): string;
  /** Its data folder. */
  folder(node: string, program: Program): string;
  /** Restarts one that has ended, with its data. */
  restart(node: string, program?: Program): void;
  /** Cleans up after a failed test: restarts what has ended, and makes every replica electable. */
  recover(): Promise<void>;
  /** The folder in place of a node's volume: it contains `redis` and `sentinel`, as in Kubernetes. */
  claim(node: string): string;
  /** The environment of scripts on that node. */
  env(node: string): NodeJS.ProcessEnv;
  stop(): void;
}

const folders = new Set<() => void>();
process.on('exit', () => {
  for (const discard of folders) discard();
});

/**
 * The programs that the scripts call, with these differences: 127.0.0.1 is LOCAL, a fixed address of the node; names are resolved
 * with a file; watch.sh polls more often.
 */
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
    // the settings of a Redis are passed on standard input, since it has a password
    'redis-server': [
      '#!/bin/bash',
      // A Service leads to its node, whatever address the node itself uses.
      `address=$(sed -n "s/^$NODE //p" '${folder}/names')`,
      ': "${address:=$SELF}"', // not one of the nodes, but a job that uses these programs
      '[ "$LOCAL" = "$address" ] && LOCAL=',
      'set -- "${@//\\/etc\\/aizumi/$CONF}" --bind $LOCAL "$address"',
      // without leaving a process that would be a child of the server
      `[ "$1" = - ] && exec ${program} "$@" <<<"$(sed "s#/etc/aizumi#$CONF#")"`,
      `exec ${program} "$@"`,
    ].join('\n'),
    'redis-cli': `#!/bin/bash\nexec ${beside ?? find('redis-cli')} "\${@/#127.0.0.1/$LOCAL}"\n`,
    // replaces the applet that the scripts use, if there is no busybox
    busybox: '#!/bin/sh\nexec "$@"\n',
    nslookup: [
      '#!/bin/sh',
      `[ -e '${folder}/silent' ] || [ -e "${folder}/silent-$NODE" ] && exec sleep 60`,
      `address=$(sed -n "s/^\${1%%.*} //p" '${folder}/names')`,
      '[ -n "$address" ] || exit 1',
      String.raw`printf 'Server:\t\t10.0.0.10\nAddress:\t10.0.0.10:53\n\nName:\t%s\nAddress: %s\n' "$1" "$address"`,
    ].join('\n'),
    sleep: `#!/bin/sh\n[ "$1" = ${WATCH_S} ] && set -- 2\nexec /bin/sleep "$@"\n`,
  };
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o755);
  }
}

const WATCH_S = /^WATCH_S=(\d+)$/m.exec(readFileSync(join(ROOT, 'deploy/watch.sh'), 'utf8'))![1]!;
const NAMES = ['redis-0', 'redis-1', 'redis-2'];

export async function startScriptedStack({
  byName = false,
  prepare = () => undefined,
}: ScriptedStackOptions = {}): Promise<ScriptedStack> {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-scripted-'));
  standIns(folder);
  // a network that no other test on this machine uses
  const net = `127.${1 + Math.floor(Math.random() * 254)}.${Math.floor(Math.random() * 256)}`;
  let nodes: readonly string[] = [1, 2, 3].map((i) => `${net}.${i}`);
  let lastAddress = 3;
  const children = new Map<string, ChildProcess>();
  const known = byName ? NAMES : nodes;
  /** The index of the node, whatever its address is now. */
  const key = (node: string, program: Program): string => `${program}-${nodes.indexOf(node)}`;
  const childOf = (node: string, program: Program): ChildProcess => children.get(key(node, program))!;
  const discard = (): void => {
    for (const child of children.values()) killGroup(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  folders.add(discard);

  const localOf = (node: string): string => (byName ? `${net}.${100 + nodes.indexOf(node)}` : node);
  const dataOf = (node: string, program: Program): string => join(folder, String(nodes.indexOf(node)), program);
  const envOf = (node: string, program: Program): NodeJS.ProcessEnv => ({
    PATH: `${folder}:${process.env.PATH}`,
    CONF: join(ROOT, 'src/redis'),
    SELF: known[nodes.indexOf(node)] ?? node,
    LOCAL: localOf(node),
    NODE: NAMES[nodes.indexOf(node)],
    NODES: known.join(' '),
    SENTINELS: known.join(' '),
    REDISCLI_AUTH: PASSWORD,
    DATA: dataOf(node, program),
  });

  function start(node: string, program: Program): void {
    const data = dataOf(node, program);
    mkdirSync(data, { recursive: true });
    const log = openSync(join(data, 'log'), 'a');
    const child = spawn('sh', [join(ROOT, 'deploy/init.sh'), program], {
      env: envOf(node, program),
      stdio: ['ignore', log, log],
      detached: true,
    });
    children.set(key(node, program), child);
  }

  function setAddresses(addresses: readonly string[]): void {
    nodes = addresses;
    const text = addresses.map((address, i) => `${NAMES[i]} ${address}\n`).join('');
    writeFileSync(join(folder, 'names.new'), text);
    renameSync(join(folder, 'names.new'), join(folder, 'names')); // complete at any moment
  }

  const call = async (node: string, port: number, command: string, args: (string | number)[]): Promise<unknown> => {
    const redis = new Redis({
      host: node,
      port,
      ...(port === REDIS_PORT ? { password: PASSWORD } : {}),
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      connectTimeout: patient(500),
      commandTimeout: patient(1000),
    });
    redis.on('error', () => undefined); // the command fails with it
    try {
      return await redis.call(command, ...args);
    } finally {
      redis.disconnect();
    }
  };

  const stack: ScriptedStack = {
    get nodes() {
      return nodes;
    },
    async renew(renewed) {
      const addresses = nodes.map((node) => (renewed.includes(node) ? `${net}.${++lastAddress}` : node));
      for (const [i, node] of nodes.entries())
        if (addresses[i] !== node) await stack.redis(node, 'CONFIG', 'SET', 'bind', `${localOf(node)} ${addresses[i]}`);
      setAddresses(addresses);
    },
    readdress(addresses = nodes.map(() => `${net}.${++lastAddress}`)) {
      setAddresses(addresses);
    },
    setSilent(silent, node) {
      const file = join(folder, node === undefined ? 'silent' : `silent-${NAMES[nodes.indexOf(node)]}`);
      if (silent) writeFileSync(file, '');
      else rmSync(file, { force: true });
    },
    async run(node, script, ...args) {
      const options = { env: envOf(node, 'redis'), timeout: START_MS };
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
      until('the nodes are in sync and all Sentinels agree', () => isWhole().catch(() => undefined), withinMs),
    signal: (node, program, signal) => killGroup(childOf(node, program), signal),
    tell: (node, program, signal = 'SIGTERM') => void childOf(node, program).kill(signal),
    async ended(node, program) {
      const child = childOf(node, program);
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      return child.exitCode;
    },
    log: (node, program) => readFileSync(join(dataOf(node, program), 'log'), 'utf8'),
    folder: dataOf,
    restart: (node, program = 'redis') => start(node, program),
    async recover() {
      for (const node of nodes)
        for (const program of ['sentinel', 'redis'] as const) {
          const { exitCode, signalCode } = childOf(node, program);
          if (exitCode !== null || signalCode !== null) start(node, program);
        }
      await until(
        'the nodes are whole again',
        async () => {
          for (const node of nodes)
            await stack.redis(node, 'CONFIG', 'SET', 'replica-priority', 100).catch(() => undefined);
          return isWhole().catch(() => undefined);
        },
        START_MS,
      );
    },
    claim: (node) => dirname(dataOf(node, 'redis')),
    env: (node) => envOf(node, 'redis'),
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

  setAddresses(nodes);
  for (const node of nodes) {
    mkdirSync(dataOf(node, 'sentinel'), { recursive: true });
    prepare(dataOf(node, 'sentinel'), node);
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

/** A flat reply of names and values → an object. */
export function fieldsOf(reply: unknown): Record<string, string> {
  const flat = reply as string[];
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])));
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid!, signal);
  } catch {
    // the whole group has ended already
  }
}
