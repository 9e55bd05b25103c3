// How much one script call does. Redis does one thing at a time, and everybody else waits: what may be more is done in slices, each
// sent when the one before has answered.
import { BrokerError } from '../errors.js';

/**
 * Most messages of a slice: 0.6 to 3 ms. Measured with INFO commandstats on 2 shared cores of an AMD EPYC, Redis 7.0.15, payloads
 * of 100 bytes, µs per message: RECV of new ones 9 to 15 (a RECV of one 25 to 50), of ones that came back 47; FREE 10 to 17; PEEK 13 of
 * ones that wait, 28 of leased ones; DROP 34; MOVE 40; GBYE 4; one that expired 36; a delay that is over 15; a lease that has
 * ended 8.
 */
export const SLICE_MESSAGES = 64;

/** No more messages are in a slice once their payloads have this length together, bytes: 1 ms (2 to 2.5 ms per MB, as above). */
export const SLICE_BYTES = 524_288;

/** A RECV of one waits for no slice's turn as long as it does no more than this, messages: under 0.2 ms. */
export const LIGHT_MESSAGES = 4;

/** And brings no more than this, bytes of its reply. */
export const LIGHT_BYTES = 8_192;

/** No more messages are in the reply to a RECV or PEEK once their payloads have this length together, bytes. */
export const MOST_BYTES = 4_194_304;

/** What the failure of a later slice means for the whole request: the slices before it were done. */
export function partlyDone(error: unknown): unknown {
  if (!(error instanceof BrokerError) || error.outcome !== 'not_done') return error;
  return new BrokerError(error.reason, `part of it was done; then: ${error.message}`, {
    outcome: 'unknown',
    ...(error.retryAfterS !== undefined && { retryAfterS: error.retryAfterS }),
    cause: error.cause,
  });
}
