// Bounds what one script call does. Redis runs one command at a time, and all others wait: a larger operation runs in slices,
// each of which is sent when the one before has been answered.
import { BrokerError } from '../errors.js';

/**
 * Most messages of a slice: 0.6 to 3 ms. Measured with INFO commandstats on 2 shared cores of an AMD EPYC, Redis 7.0.15, payloads
 * of 100 bytes, µs per message: RECV of new messages 9 to 15 (a RECV of one 25 to 50), of redelivered ones 47; FREE 10 to 17;
 * PEEK of waiting messages 13, of leased ones 28; DROP 34; MOVE 40; GBYE 4; an expired message 36; a delay that is over 15; a lease
 * that has ended 8.
 */
export const SLICE_MESSAGES = 64;

/** A slice ends when its payloads have this length together, bytes: 1 ms (2 to 2.5 ms per MB, measured as above). */
export const SLICE_BYTES = 524_288;

/** A RECV of one that processes no more messages does not wait for a slice's turn: it takes under 0.2 ms. */
export const LIGHT_MESSAGES = 4;

/** Such a RECV returns at most so many bytes. */
export const LIGHT_BYTES = 8_192;

/** The reply to a RECV or PEEK ends when its payloads have this length together, bytes. */
export const MOST_BYTES = 4_194_304;

/** The failure of the whole request when a later slice fails: the slices before it were done. */
export function partlyDone(error: unknown): unknown {
  if (!(error instanceof BrokerError) || error.outcome !== 'not_done') return error;
  return new BrokerError(error.reason, `part of it was done; then: ${error.message}`, {
    outcome: 'unknown',
    ...(error.retryAfterS !== undefined && { retryAfterS: error.retryAfterS }),
    cause: error.cause,
  });
}
