// A rate limit for each key, in the memory of this worker: no promise, no timer, one number for each key.
import { REMEMBERED_RATES } from '../../config/limits.js';

const SECOND_MS = 1_000;

/**
 * `perS` a second for each key, with a burst of one second's worth: the generic cell rate algorithm,
 * https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm. What is counted beyond the limit is a debt that is paid off in time.
 */
export class Rate {
  /** By key: the time at which all that was counted would be paid off, ms. */
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

  /** Counts `n` if one more is allowed. @returns 0, or the time until one more is allowed, ms */
  take(key: string | number, n = 1): number {
    const now = this.now();
    const paidAt = this.#paidAtMs.get(key) ?? now;
    const waitMs = paidAt - now - (SECOND_MS - this.#eachMs);
    // sums of floating-point numbers are not exact
    if (waitMs > 0.001) return waitMs;
    this.#count(key, Math.max(paidAt, now) + n * this.#eachMs);
    return 0;
  }

  /** Counts `n` whether they are allowed or not. */
  charge(key: string | number, n: number): void {
    const now = this.now();
    this.#count(key, Math.max(this.#paidAtMs.get(key) ?? now, now) + n * this.#eachMs);
  }

  /** @returns the time until what was counted beyond one second's worth is paid off, ms; 0: nothing was */
  debtMs(key: string | number): number {
    const now = this.now();
    return Math.max(0, (this.#paidAtMs.get(key) ?? now) - now - SECOND_MS);
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#paidAtMs.size;
  }

  #count(key: string | number, paidAtMs: number): void {
    this.#paidAtMs.set(key, paidAtMs);
    if (this.#paidAtMs.size <= this.#forgetOver) return;
    const now = this.now();
    for (const [known, until] of this.#paidAtMs) if (until <= now) this.#paidAtMs.delete(known);
    // so that a scan of all keys happens only after as many new ones: amortised O(1)
    this.#forgetOver = Math.max(REMEMBERED_RATES, 2 * this.#paidAtMs.size);
  }
}
