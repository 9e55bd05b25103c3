// Polls a condition until it holds, instead of sleeping.
import { setTimeout as pause } from 'node:timers/promises';
import { patient } from './patience.js';

const MOST_PAUSE_MS = 50;

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/**
 * Calls `condition` until it returns something truthy, and returns that.
 * @throws Error naming `what` if that takes much longer than `withinMs` (see {@link patient})
 */
export async function until<T>(what: string, condition: () => T | Promise<T>, withinMs = 5_000): Promise<Truthy<T>> {
  const startMs = performance.now();
  const deadline = startMs + patient(withinMs);
  for (;;) {
    const result = await condition();
    if (result) return result as Truthy<T>;
    if (performance.now() > deadline) throw new Error(`not within ${patient(withinMs)} ms: ${what}`);
    // polls ever more rarely, since a condition may be a dozen commands to a dozen servers
    await pause(Math.min(MOST_PAUSE_MS, 2 + (performance.now() - startMs) / 20));
  }
}
