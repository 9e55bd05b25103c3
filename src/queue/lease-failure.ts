// What a script that acts on one delivery says when that is over → the broker's own error.
import { BrokerError } from '../errors.js';
import { redisFailure } from '../redis/failure.js';

/** @returns lease_lost for LEASE_LOST; what Redis's other errors mean */
export function leaseFailure(error: unknown): unknown {
  if (error instanceof Error && error.message.startsWith('LEASE_LOST'))
    return new BrokerError(
      'lease_lost',
      'this delivery is over: the message was freed or given back, or went to somebody else after its lease ended',
    );
  return redisFailure(error);
}
