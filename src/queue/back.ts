// BACK: returns a message to its queue before its lease ends.
import { attemptsKey, backedKey, heldKey, leasesKey, queueKey } from './keys.js';
import { leaseFailure } from './lease-failure.js';
import type { Queues } from './queues.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiBack(
      ...args: [
        queue: string,
        leases: string,
        held: string,
        backed: string,
        attempts: string,
        id: number,
        receipt: string,
        delayMs: number,
        counts: 0 | 1,
      ]
    ): Promise<0 | 1>;
  }
}

export interface BackOptions {
  /** Returns only this delivery. */
  receipt?: string | undefined;
  /** Until it can be received again, ms. */
  delayMs?: number | undefined;
  /** Whether this delivery counts towards max_deliveries; default true. */
  counts?: boolean | undefined;
}

/**
 * Returns the message with this id that `address` holds to the queue; of several the one delivered first. Then it is not held.
 * @returns whether there was one
 * @throws BrokerError lease_lost (the receipt's delivery is over); unavailable (outcome unknown: it may have been returned)
 */
export async function back(
  { redis, settings }: Queues,
  address: number,
  id: number,
  { receipt = '', delayMs = 0, counts = true }: BackOptions = {},
): Promise<boolean> {
  const { keyPrefix: prefix } = settings;
  const keys = [
    queueKey(prefix, address),
    leasesKey(prefix, address),
    heldKey(prefix, address),
    backedKey(prefix, address),
    attemptsKey(prefix, address),
  ] as const;
  try {
    return (await redis.aizumiBack(...keys, id, receipt, delayMs, counts ? 1 : 0)) === 1;
  } catch (error) {
    throw leaseFailure(error);
  }
}
