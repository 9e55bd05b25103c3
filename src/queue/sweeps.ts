// Where the search for expired messages stands in each queue, at this worker.

export interface Sweep {
  state: 'waiting' | 'delayed';
  /** Of PEEK; '': from the start. */
  cursor: string;
  underWay: Promise<number> | undefined;
  /** It found nothing, and is not repeated before; performance.now() of this process. */
  restsUntilMs: number;
}

/** Addresses that are remembered; with more all are forgotten, and their search begins at the start. */
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
