// Deletes expired messages that no RECV has met: they must not take the room of messages that are sent (docs/limits.md).
import { MAX_SWEEP_SLICES, SWEEP_PATIENCE_MS, SWEEP_PAUSE_MS, SWEEP_PAUSE_TIMES } from '../config/limits.js';
import { deleteSlice, learnRoom } from './drop.js';
import { forEachSlice } from './peek.js';
import type { Queues } from './queues.js';
import { readStat } from './stat.js';
import type { StatReading } from './stat.js';
import type { Sweep } from './sweeps.js';
import { NOBODY } from './turns.js';

/**
 * Searches for expired messages from where the last sweep of this queue stopped. Calls during a sweep share it.
 * @param who the client whose turns it uses
 * @returns how many were deleted; 0 when the sweep was put off or has failed
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
      return performance.now() - startMs > SWEEP_PATIENCE_MS;
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
    // the rest of the round through both states, and then a whole round
    for (let places = 0; places < 3 && slices < MAX_SWEEP_SLICES && !asker.hasLeft; places++) {
      const walk = { state: state.state, which: 'expired', cursor: state.cursor, asker } as const;
      const walked = await forEachSlice(queues, address, { ...walk, mostSlices: MAX_SWEEP_SLICES - slices }, act);
      slices += walked.slices;
      state.cursor = walked.cursor ?? '';
      if (walked.cursor === undefined) state.state = state.state === 'waiting' ? 'delayed' : 'waiting';
    }
  } catch {
    // the caller continues as if nothing had been found
  }
  const endMs = performance.now();
  if (gone > 0) await learnRoom(queues, address);
  else state.restsUntilMs = endMs + Math.max(SWEEP_PAUSE_MS, SWEEP_PAUSE_TIMES * (endMs - startMs));
  return gone;
}

/** The same as {@link readStat}, after one sweep has deleted expired messages. */
export async function readLiveStat(queues: Queues, address: number): Promise<StatReading | undefined> {
  const found = await readStat(queues, address);
  if (!found?.hasExpired || (await sweep(queues, address)) === 0) return found;
  return readStat(queues, address);
}
