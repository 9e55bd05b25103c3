// Remembers how far this worker's search for expired messages has come in each queue.

export interface Sweep {
  state: 'waiting' | 'delayed';
  /** Of PEEK; '': from the start. */
  cursor: string;
  underWay: Promise<number> | undefined;
  /** After a search that found nothing, the earliest time of the next one; performance.now() of this process. */
  restsUntilMs: number;
}

/** Addresses that are remembered; with more all are forgotten, and their searches begin at the start. */
const MOST_ADDRESSES = 10_000;

export class Sweeps {
  readonly #sweeps = new Map<number, Sweep>();

  of(address: number): Sweep {
    let sweep = this.#sweeps.get(address);
    if (sweep !== undefined) return sweep;
    if (this.#sweeps.size >= MOST_ADDRESSES) this.#sweeps.clear();
    sweep = { state: 'waiting', cursor: '', underWay: undefined, restsUntilMs: -Infinity };
    this.#sweeps.set(address, sweep);
    return sweep;
  }
}
