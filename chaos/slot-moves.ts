// Slots of a Cluster that move under load. Nobody is killed right behind: MIGRATE voids what the target's replicas have not got yet.
import { setTimeout as pause } from 'node:timers/promises';
import { beginMove, endMove, moveKeys, moveSlot, moveToAndFro, ownerOf, slotOf } from '../harness/slots.js';
import type { SlotMove } from '../harness/slots.js';
import type { StackNode } from '../harness/stacks.js';
import type { Fault, Victims } from './fault.js';

/** Between two steps of a move, so that requests fall into each state of the slot. */
const STEP_MS = [0, 60] as const;
const TO_AND_FRO_MS = 3_000;

/** A queue's key is hashed by the address in braces, as this one is. */
const keyOf = (queue: number): string => `{${queue}}`;

interface Queues {
  primaries: StackNode[];
  /** The slot of each queue and who has it. */
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
  /** As a reshard does: the slots of every queue go to another primary, key by key. */
  'slots moved': {
    kind: 'other',
    async strike(victims) {
      const { primaries, slots } = await slotsOf(victims);
      for (const { slot, owner } of slots) {
        const to = victims.random.pick(primaries.filter((node) => node !== owner));
        const move: SlotMove = { slot, from: owner, to };
        await beginMove(move);
        await pause(victims.random.between(...STEP_MS));
        await moveKeys(move, 2); // one by one with pauses: some keys of a queue are here and some there
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
