// What operations in slices have in common. Redis runs one command at a time, and all others wait: so a larger operation runs in
// slices (config/limits.ts), each of which is sent when the one before has been answered.
import { BrokerError } from '../errors.js';

/** The failure of the whole request when a later slice fails: the slices before it were done. */
export function partlyDone(error: unknown): unknown {
  if (!(error instanceof BrokerError) || error.outcome !== 'not_done') return error;
  return new BrokerError(error.reason, `part of it was done; then: ${error.message}`, {
    outcome: 'unknown',
    ...(error.retryAfterS !== undefined && { retryAfterS: error.retryAfterS }),
    cause: error.cause,
  });
}
