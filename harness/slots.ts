// Moves slots of a real Redis Cluster from one primary to another, one at a time, step by step as redis-cli does it.
import { Redis } from 'ioredis';
import { ask } from './ask.js';
import type { StackNode } from './stacks.js';
import { until } from './until.js';

/** Keys in one MIGRATE, and how long it may take: redis-cli's defaults. */
const KEYS_AT_ONCE = 10;
const MIGRATE_MS = 60_000;

/** Where a slot is, and where it is being moved to. */
export interface SlotMove {
  readonly slot: number;
  readonly from: StackNode;
  readonly to: StackNode;
}

/** The slot of `key`, computed by the node. */
export const slotOf = async (port: number, key: string): Promise<number> =>
  Number(await ask(port, 'CLUSTER', 'KEYSLOT', key));

/** The owner of `slot` according to the node at `port`: host:port of the redirection or of CLUSTER SLOTS. */
export async function ownerOf(nodes: readonly StackNode[], slot: number): Promise<StackNode> {
  for (const { port } of nodes) {
    const ranges = (await ask(port, 'CLUSTER', 'SLOTS').catch(() => [])) as [number, number, [string, number]][];
    const range = ranges.find(([first, last]) => first <= slot && slot <= last);
    const owner = nodes.find((node) => node.port === range?.[2][1]);
    if (owner) return owner;
  }
  throw new Error(`no node knows who has slot ${slot}`);
}

/** Begins a move, without moving keys: the source now redirects commands on keys it does not have to the target (ASK). */
export async function beginMove({ slot, from, to }: SlotMove): Promise<void> {
  const [source, target] = await Promise.all([from, to].map(({ port }) => ask(port, 'CLUSTER', 'MYID')));
  await ask(to.port, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', source as string);
  await ask(from.port, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', target as string);
}

/**
 * Moves keys of a slot that is being moved.
 * @param most keys; default: all
 * @returns how many were moved
 */
export async function moveKeys({ slot, from, to }: SlotMove, most = Infinity): Promise<number> {
  // MIGRATE may take longer than the timeout of ask()
  const source = new Redis({ host: '127.0.0.1', port: from.port, retryStrategy: () => null });
  source.on('error', () => undefined);
  let moved = 0;
  try {
    while (moved < most) {
      const count = Math.min(KEYS_AT_ONCE, most - moved);
      const keys = await source.cluster('GETKEYSINSLOT', slot, count);
      if (keys.length === 0) break;
      await source.call('MIGRATE', '127.0.0.1', to.port, '', 0, MIGRATE_MS, 'KEYS', ...keys);
      moved += keys.length;
    }
  } finally {
    source.disconnect();
  }
  return moved;
}

/** Moves these existing keys of a slot that is being moved. */
export async function moveNamed({ from, to }: SlotMove, keys: readonly string[]): Promise<void> {
  await ask(from.port, 'MIGRATE', '127.0.0.1', to.port, '', 0, MIGRATE_MS, 'KEYS', ...keys);
}

/** Assigns the slot to the target: the target is told first, so that at any time one node accepts its commands. */
export async function endMove({ slot, from, to }: SlotMove, primaries: readonly StackNode[] = []): Promise<void> {
  const target = (await ask(to.port, 'CLUSTER', 'MYID')) as string;
  const others = primaries.filter((node) => node !== from && node !== to);
  for (const { port } of [to, from, ...others]) await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', target);
}

/** Cancels a move; keys that have been moved already must be moved back first. */
export async function cancelMove({ slot, from, to }: SlotMove): Promise<void> {
  for (const { port } of [from, to]) await ask(port, 'CLUSTER', 'SETSLOT', slot, 'STABLE');
}

/** Moves one slot completely, with its keys. */
export async function moveSlot(move: SlotMove, primaries: readonly StackNode[] = []): Promise<void> {
  await beginMove(move);
  await moveKeys(move);
  await endMove(move, primaries);
}

/**
 * Moves a slot to and fro until `isOver`, which is checked before each move.
 * @param pause between two steps, so that commands meet each state of the slot
 * @returns the number of moves; either node may own the slot
 */
export async function moveToAndFro(
  { slot, from, to }: SlotMove,
  isOver: (moves: number) => boolean,
  pause: () => Promise<unknown> = () => Promise.resolve(),
): Promise<number> {
  let moves = 0;
  for (let move = { slot, from, to }; !isOver(moves); move = { slot, from: move.to, to: move.from }) {
    await beginMove(move);
    await pause();
    await moveKeys(move);
    await pause();
    await endMove(move);
    await pause();
    moves++;
  }
  return moves;
}

/**
 * Resolves when the replicas of the primary at `port` have all of its current data, including that from MIGRATE: WAIT counts
 * only writes of its own connection, and those of MIGRATE came from another.
 */
export async function replicasHaveAll(port: number, replicas: number, withinMs = 10_000): Promise<void> {
  const info = async (): Promise<string> => String(await ask(port, 'INFO', 'replication'));
  const offset = Number(/^master_repl_offset:(\d+)/m.exec(await info())?.[1]);
  await until(
    `${replicas} replicas have offset ${offset}`,
    async () => {
      const offsets = [...(await info()).matchAll(/^slave\d+:.*state=online,offset=(\d+)/gm)].map(([, at]) =>
        Number(at),
      );
      return offsets.filter((at) => at >= offset).length >= replicas;
    },
    withinMs,
  );
}
