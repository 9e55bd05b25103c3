// Translates errors of the scripts that act on one delivery (FREE, KEEP, BACK) into the broker's own errors.
import { BrokerError } from '../errors.js';
import { redisFailure } from '../redis/failure.js';

/** @returns lease_lost for LEASE_LOST; for other errors what redisFailure makes of them */
export function leaseFailure(error: unknown): unknown {
  if (error instanceof Error && error.message.startsWith('LEASE_LOST'))
    return new BrokerError(
      'lease_lost',
      'this delivery is over: the message was freed or given back, or went to somebody else after its lease ended',
    );
  return redisFailure(error);
}
