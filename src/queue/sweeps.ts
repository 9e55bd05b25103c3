// Remembers how far this worker's search for expired messages has come in each queue.
import { REMEMBERED_SWEEPS } from '../config/limits.js';

export interface Sweep {
  state: 'waiting' | 'delayed';
  /** Of PEEK; '': from the start. */
  cursor: string;
  underWay: Promise<number> | undefined;
  /** After a search that found nothing, the earliest time of the next one; performance.now() of this process. */
  restsUntilMs: number;
}

export class Sweeps {
  readonly #sweeps = new Map<number, Sweep>();

  of(address: number): Sweep {
    let sweep = this.#sweeps.get(address);
    if (sweep !== undefined) return sweep;
    if (this.#sweeps.size >= REMEMBERED_SWEEPS) this.#sweeps.clear();
    sweep = { state: 'waiting', cursor: '', underWay: undefined, restsUntilMs: -Infinity };
    this.#sweeps.set(address, sweep);
    return sweep;
  }
}
