// How often somebody may do something. In the memory of this worker: no promise, no timer, one number for each who does.
import { REMEMBERED_RATES } from '../../config/limits.js';

const SECOND_MS = 1_000;

/**
 * `perS` a second for each key, and one second's worth at once: the generic cell rate algorithm,
 * https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm. What is counted beyond the limit is a debt that time pays off.
 */
export class Rate {
  /** When what each has done would be done at the even pace, ms. */
  readonly #paidAtMs = new Map<string | number, number>();
  readonly #eachMs: number;
  #forgetOver = REMEMBERED_RATES;

  /** @param now a clock, ms */
  constructor(
    perS: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#eachMs = SECOND_MS / perS;
  }

  /** Counts `n` if one more is allowed. @returns 0, or how long it is until one is, ms */
  take(key: string | number, n = 1): number {
    const now = this.now();
    const paidAt = this.#paidAtMs.get(key) ?? now;
    const waitMs = paidAt - now - (SECOND_MS - this.#eachMs);
    // sums of fractions are not exact
    if (waitMs > 0.001) return waitMs;
    this.#count(key, Math.max(paidAt, now) + n * this.#eachMs);
    return 0;
  }

  /** Counts `n` that are done whether they are allowed or not. */
  charge(key: string | number, n: number): void {
    const now = this.now();
    this.#count(key, Math.max(this.#paidAtMs.get(key) ?? now, now) + n * this.#eachMs);
  }

  /** @returns how long it takes to pay off what was counted beyond one second's worth, ms; 0: nothing was */
  debtMs(key: string | number): number {
    const now = this.now();
    return Math.max(0, (this.#paidAtMs.get(key) ?? now) - now - SECOND_MS);
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#paidAtMs.size;
  }

  #count(key: string | number, paidAtMs: number): void {
    this.#paidAtMs.set(key, paidAtMs);
    if (this.#paidAtMs.size <= this.#forgetOver) return;
    const now = this.now();
    for (const [known, until] of this.#paidAtMs) if (until <= now) this.#paidAtMs.delete(known);
    // so that a look at all of them is paid by as many new ones
    this.#forgetOver = Math.max(REMEMBERED_RATES, 2 * this.#paidAtMs.size);
  }
}
