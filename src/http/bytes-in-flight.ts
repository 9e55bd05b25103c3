// How much memory the bodies of all requests under way may take: counted as they arrive, not as they are announced.
import { BrokerError } from '../errors.js';

const RETRY_AFTER_S = 1;

export class BytesInFlight {
  #taken = 0;

  constructor(private readonly most: number) {}

  /** @throws BrokerError overloaded, when there is no room for `bytes` more: nothing was taken */
  take(bytes: number): void {
    this.check(bytes);
    this.#taken += bytes;
  }

  /** @throws BrokerError overloaded, when there would be no room */
  check(bytes: number): void {
    if (this.#taken + bytes <= this.most) return;
    throw new BrokerError(
      'overloaded',
      `the bodies of all requests under way are over ${this.most} bytes (AIZUMI_MAX_BYTES_IN_FLIGHT): nothing was done, try again`,
      { outcome: 'not_done', retryAfterS: RETRY_AFTER_S },
    );
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }

  get taken(): number {
    return this.#taken;
  }
}
