// Remembers the addresses that this worker has used lately: it repairs their places in the register (register.ts).

/** Addresses that are remembered at most. */
const MOST_ADDRESSES = 100_000;
/** An address is remembered for this long after its last use at least, and for twice that at most, ms. */
const REMEMBERED_MS = 180_000;

/** Two sets: the young one replaces the old one from time to time. Times are performance.now() of this process. */
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

  /** All addresses that are remembered; those that were not used for a long time are forgotten. */
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
