// Moves of Cluster slots under load. No node is killed right after one, since MIGRATE does not wait for the target's replicas.
import { setTimeout as pause } from 'node:timers/promises';
import { beginMove, endMove, moveKeys, moveSlot, moveToAndFro, ownerOf, slotOf } from '../harness/slots.js';
import type { SlotMove } from '../harness/slots.js';
import type { StackNode } from '../harness/stacks.js';
import type { Fault, Victims } from './fault.js';

/** Pause between two steps of a move, so that requests meet each state of the slot. */
const STEP_MS = [0, 60] as const;
const TO_AND_FRO_MS = 3_000;

/** Has the same slot as the queue's keys, which are hashed by the address in braces. */
const keyOf = (queue: number): string => `{${queue}}`;

interface Queues {
  primaries: StackNode[];
  /** The slot of each queue and its owner. */
  slots: { slot: number; owner: StackNode }[];
}

async function slotsOf({ stack: { nodes }, queues }: Victims): Promise<Queues> {
  const roles = await Promise.all(nodes.map((node) => node.role()));
  const slots: Queues['slots'] = [];
  for (const queue of queues) {
    const slot = await slotOf(nodes[0]!.port, keyOf(queue));
    slots.push({ slot, owner: await ownerOf(nodes, slot) });
  }
  return { primaries: nodes.filter((_, i) => roles[i] === 'primary'), slots };
}

export const SLOT_MOVES = {
  /** Moves the slots of every queue to another primary, key by key, as a reshard does. */
  'slots moved': {
    kind: 'other',
    async strike(victims) {
      const { primaries, slots } = await slotsOf(victims);
      for (const { slot, owner } of slots) {
        const to = victims.random.pick(primaries.filter((node) => node !== owner));
        const move: SlotMove = { slot, from: owner, to };
        await beginMove(move);
        await pause(victims.random.between(...STEP_MS));
        await moveKeys(move, 2); // a few at a time, with pauses, so that the keys of a queue are on both nodes
        await pause(victims.random.between(...STEP_MS));
        await moveKeys(move);
        await pause(victims.random.between(...STEP_MS));
        await endMove(move, primaries);
      }
    },
  },
  'a slot to and fro': {
    kind: 'other',
    async strike(victims) {
      const { primaries, slots } = await slotsOf(victims);
      const { slot, owner } = victims.random.pick(slots);
      const to = victims.random.pick(primaries.filter((node) => node !== owner));
      const endMs = performance.now() + TO_AND_FRO_MS;
      await moveToAndFro(
        { slot, from: owner, to },
        () => performance.now() > endMs,
        () => pause(victims.random.between(...STEP_MS)),
      );
      const last = await ownerOf(primaries, slot);
      if (last !== owner) await moveSlot({ slot, from: last, to: owner }, primaries);
    },
  },
} satisfies Record<string, Fault>;
