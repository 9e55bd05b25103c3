// The addresses that this worker has used lately: those whose place in the register it looks after.

/** Addresses that are remembered at most. */
const MOST_ADDRESSES = 100_000;
/** An address is remembered for this long after its last use at least, and for twice that at most, ms. */
const REMEMBERED_MS = 180_000;

/** Two sets that take turns. Times are performance.now() of this process. */
export class UsedAddresses {
  #young = new Set<number>();
  #old = new Set<number>();
  #turnedAtMs = 0;

  note(address: number): void {
    this.#young.add(address);
    if (this.#young.size >= MOST_ADDRESSES / 2) this.#turn();
  }

  forget(address: number): void {
    this.#young.delete(address);
    this.#old.delete(address);
  }

  /** All that are remembered; those that were not used for long are forgotten. */
  recent(nowMs: number): number[] {
    const addresses = [...new Set([...this.#young, ...this.#old])];
    if (nowMs - this.#turnedAtMs >= REMEMBERED_MS) {
      this.#turn();
      this.#turnedAtMs = nowMs;
    }
    return addresses;
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Set();
  }
}
