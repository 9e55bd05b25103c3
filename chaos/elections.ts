// Waits until another node is promoted, and restores a stack between rounds.
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ask, infoField } from '../harness/ask.js';
import type { Stack, StackNode } from '../harness/stacks.js';
import { until } from '../harness/until.js';

export const FAILOVER_MS = 10_000;
const ROLE_EVERY_MS = 5;

/** Resolves when the deployment names a primary other than `from`, and that node has this role. */
export const failedOver = (stack: Stack, from: StackNode, withinMs = FAILOVER_MS): Promise<unknown> =>
  until(
    'another node is the primary',
    async () => {
      const primary = await stack.primary().catch(() => from);
      return primary !== from && (await primary.role()) === 'primary';
    },
    withinMs,
  );

/** The nodes that replicate `primary`. */
export async function replicasOf({ nodes }: Stack, primary: StackNode): Promise<StackNode[]> {
  const ports = await Promise.all(nodes.map(({ port }) => infoField(port, 'replication', 'master_port')));
  return nodes.filter((_, i) => ports[i] === String(primary.port));
}

/**
 * Starts to poll the roles of `replicas`, each on a connection of its own.
 * @returns resolves within milliseconds of the promotion of one of them
 */
export async function watchPromotion(replicas: StackNode[]): Promise<() => Promise<StackNode>> {
  const watched = replicas.map((node) => ({ node, redis: new Redis(node.port, '127.0.0.1', { lazyConnect: true }) }));
  for (const { redis } of watched) redis.on('error', () => undefined);
  await Promise.all(watched.map(({ redis }) => redis.connect()));
  return async () => {
    try {
      const deadlineMs = performance.now() + FAILOVER_MS;
      while (performance.now() < deadlineMs) {
        const roles = await Promise.all(watched.map(({ redis }) => redis.role()));
        const promoted = watched.find((_, i) => roles[i]![0] === 'master');
        if (promoted) return promoted.node;
        await pause(ROLE_EVERY_MS);
      }
      throw new Error(`no replica was promoted within ${FAILOVER_MS} ms`);
    } finally {
      for (const { redis } of watched) redis.disconnect();
    }
  };
}

/**
 * Makes every node follow the current primary. The Sentinels would do so 8 s after the return of an old primary, and rounds
 * would take twice as long. Only to be used while nothing is sent.
 */
export async function makeFollow(stack: Stack): Promise<void> {
  if (stack.sentinels.length === 0) return;
  const primary = await until('there is a primary', () => stack.primary().catch(() => undefined), FAILOVER_MS);
  const following = new Set(await replicasOf(stack, primary));
  for (const node of stack.nodes) {
    if (node !== primary && !following.has(node)) await ask(node.port, 'REPLICAOF', '127.0.0.1', primary.port);
  }
}
