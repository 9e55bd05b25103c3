// Instead of sleeping: polls a condition until it holds.
import { setTimeout as pause } from 'node:timers/promises';
import { patient } from './patience.js';

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/**
 * Calls `condition` until it returns something truthy, and returns that.
 * @throws Error naming `what` when that takes much longer than `withinMs` (see {@link patient})
 */
export async function until<T>(what: string, condition: () => T | Promise<T>, withinMs = 5_000): Promise<Truthy<T>> {
  const deadline = performance.now() + patient(withinMs);
  for (;;) {
    const result = await condition();
    if (result) return result as Truthy<T>;
    if (performance.now() > deadline) throw new Error(`not within ${patient(withinMs)} ms: ${what}`);
    await pause(2);
  }
}
