// Throws away what has expired and nobody has come upon: it must not take the room of what is sent (docs/limits.md).
import { deleteSlice, learnRoom } from './drop.js';
import { forEachSlice } from './peek.js';
import type { Queues } from './queues.js';
import { look } from './stat.js';
import type { Look } from './stat.js';
import type { Sweep } from './sweeps.js';
import { NOBODY } from './turns.js';

/** Slices of one sweep: 1,024 messages, some 50 ms of Redis if all of them have expired. */
const MOST_SLICES = 16;
/** A sweep gives up its place among those who wait for their turn: the SEND that waits for it is refused then. */
const PATIENCE_MS = 500;
/** One that found nothing rests for so long, and for so many times what it took: a tenth of one slot is the most that it takes. */
const REST_MS = 100;
const REST_TIMES = 9;

/**
 * Looks for expired messages where the last sweep of this queue has stopped. Who asks while one is under way shares it.
 * @param who whose turn it takes
 * @returns how many were thrown away; 0 when it rests or has failed
 */
export async function sweep(queues: Queues, address: number, who = NOBODY.who): Promise<number> {
  const state = queues.sweeps.of(address);
  if (state.underWay === undefined && performance.now() < state.restsUntilMs) return 0;
  return (state.underWay ??= carryOut(queues, address, state, who).finally(() => (state.underWay = undefined)));
}

async function carryOut(queues: Queues, address: number, state: Sweep, who: string): Promise<number> {
  const startMs = performance.now();
  const asker = {
    who,
    get hasLeft() {
      return performance.now() - startMs > PATIENCE_MS;
    },
  };
  let gone = 0;
  let slices = 0;
  const act = async (messages: Parameters<typeof deleteSlice>[2]): Promise<{ done: number; goOn: boolean }> => {
    const [, expired] = await deleteSlice(queues, address, messages, 1);
    gone += expired;
    return { done: expired, goOn: true };
  };
  try {
    // the rest of a round, and a whole one
    for (let places = 0; places < 3 && slices < MOST_SLICES && !asker.hasLeft; places++) {
      const walk = { state: state.state, which: 'expired', cursor: state.cursor, asker } as const;
      const walked = await forEachSlice(queues, address, { ...walk, mostSlices: MOST_SLICES - slices }, act);
      slices += walked.slices;
      state.cursor = walked.cursor ?? '';
      if (walked.cursor === undefined) state.state = state.state === 'waiting' ? 'delayed' : 'waiting';
    }
  } catch {
    // whoever asked is told what they are told without it
  }
  const endMs = performance.now();
  if (gone > 0) await learnRoom(queues, address);
  else state.restsUntilMs = endMs + Math.max(REST_MS, REST_TIMES * (endMs - startMs));
  return gone;
}

/** The same as {@link look}, without the messages that have expired, as far as one sweep finds them. */
export async function lookAtLive(queues: Queues, address: number): Promise<Look | undefined> {
  const found = await look(queues, address);
  if (!found?.hasExpired || (await sweep(queues, address)) === 0) return found;
  return look(queues, address);
}
