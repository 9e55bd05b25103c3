// KEEP: extends or shortens a lease.
import { heldKey, leasesKey } from './keys.js';
import { leaseFailure } from './lease-failure.js';
import type { Queues } from './queues.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiKeep(
      ...args: [leases: string, held: string, id: number, receipt: string, visibilityTimeoutMs: number]
    ): Promise<0 | 1>;
  }
}

/**
 * Sets the end of the lease of the message with this id that `address` holds; of several the one delivered first.
 * @param visibilityTimeoutMs from now, ms; 0: it has ended, and the message is still held until somebody receives it
 * @param receipt sets only the lease of this delivery
 * @returns whether there was one
 * @throws BrokerError lease_lost (the receipt's delivery is over); unavailable
 */
export async function keep(
  { redis, settings }: Queues,
  address: number,
  id: number,
  visibilityTimeoutMs: number,
  receipt = '',
): Promise<boolean> {
  const { keyPrefix: prefix } = settings;
  try {
    const keys = [leasesKey(prefix, address), heldKey(prefix, address)] as const;
    return (await redis.aizumiKeep(...keys, id, receipt, visibilityTimeoutMs)) === 1;
  } catch (error) {
    throw leaseFailure(error);
  }
}
