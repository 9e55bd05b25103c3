// Remembers the addresses that this worker has used lately: it repairs their places in the register (register.ts).
import { REMEMBERED_USES, REMEMBERED_USES_MS } from '../config/limits.js';

/** Two sets: the young one replaces the old one from time to time. Times are performance.now() of this process. */
export class UsedAddresses {
  #young = new Set<number>();
  #old = new Set<number>();
  #turnedAtMs = 0;

  note(address: number): void {
    this.#young.add(address);
    if (this.#young.size >= REMEMBERED_USES / 2) this.#turn();
  }

  forget(address: number): void {
    this.#young.delete(address);
    this.#old.delete(address);
  }

  /** All addresses that are remembered; those that were not used for a long time are forgotten. */
  recent(nowMs: number): number[] {
    const addresses = [...new Set([...this.#young, ...this.#old])];
    if (nowMs - this.#turnedAtMs >= REMEMBERED_USES_MS) {
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
