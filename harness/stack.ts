// Parts that stacks of several Redis processes have in common.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ask, infoField } from './ask.js';
import { startRedisServer } from './redis-server.js';
import type { TestServer } from './redis-server.js';
import { until } from './until.js';

export type Role = 'primary' | 'replica' | 'down';

/** A Redis of a stack; its folder, process and faults are {@link TestServer}'s. */
export interface StackNode extends TestServer {
  /** The role that it reports; 'down' if it does not answer. */
  role(): Promise<Role>;
}

export interface Stack {
  /** For AIZUMI_REDIS_URL. */
  readonly url: string;
  readonly nodes: StackNode[];
  readonly sentinels: readonly TestServer[];
  /** The current primary: the one that most Sentinels name; in a Cluster, that of slot 0's shard. */
  primary(): Promise<StackNode>;
  /** A replica of that primary that responds. */
  replica(): Promise<StackNode>;
  /** Resolves when every process runs, and every primary has all its replicas in sync. */
  whole(withinMs?: number): Promise<void>;
  stop(): Promise<void>;
}

const CONFS = ['redis.conf', 'replicated.conf']
  .map((file) => fileURLToPath(new URL(`../src/redis/${file}`, import.meta.url)))
  .filter(existsSync)
  .map((file) => `include ${file}\n`)
  .join('');

interface Shape {
  url: string;
  nodes: StackNode[];
  sentinels: TestServer[];
  primary: () => Promise<StackNode>;
  /** Whether `node` belongs to the shard of `primary`. */
  inShard: (node: StackNode, primary: StackNode) => boolean | Promise<boolean>;
  isWhole: () => Promise<boolean>;
}

export function createStack({ inShard, isWhole, ...shape }: Shape): Stack {
  return {
    ...shape,
    async replica() {
      const primary = await shape.primary();
      for (const node of shape.nodes) {
        if (node !== primary && (await node.role()) === 'replica' && (await inShard(node, primary))) return node;
      }
      throw new Error('no replica answers');
    },
    async whole(withinMs = 20_000) {
      await until('the stack is complete', () => isWhole().catch(() => false), withinMs);
    },
    async stop() {
      await Promise.all([...shape.sentinels, ...shape.nodes].map((server) => server.stop()));
    },
  };
}

/** A Redis with the shipped settings. @param more lines for its redis.conf @param clock see TestServerOptions */
export async function startNode(more = '', clock?: string): Promise<StackNode> {
  // a file of its own: Sentinel makes the server rewrite it, so that it knows its primary after a restart
  const server = await startRedisServer({ conf: CONFS + more, clock });
  const roles: Record<string, Role> = { master: 'primary', slave: 'replica' };
  return Object.defineProperties(
    {
      role: async (): Promise<Role> => roles[(await infoField(server.port, 'replication', 'role')) ?? ''] ?? 'down',
    },
    Object.getOwnPropertyDescriptors(server),
  ) as StackNode;
}

/** Whether `count` replicas are connected and in sync. */
export async function hasReplicas(node: TestServer, count: number): Promise<boolean> {
  const info = String(await ask(node.port, 'INFO', 'replication'));
  const offset = /^master_repl_offset:(\d+)/m.exec(info)?.[1];
  const inStep = [...info.matchAll(/^slave\d+:.*state=online,offset=(\d+)/gm)].filter(
    ([, theirs]) => theirs === offset,
  );
  return inStep.length === count;
}
