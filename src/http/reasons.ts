// What openapi.json says of each reason for an error, and which paths have it.
import type { Reason } from '../errors.js';

/** Fails to compile when a reason is missing. More in docs/protocol.md. */
export const REASONS: Readonly<Record<Reason, string>> = {
  invalid_json: 'the body is not JSON, or not UTF-8',
  invalid_request: 'correct what details names',
  unknown_msg_type: 'msg_type is in no row of the table of requests',
  unauthenticated: 'send a key or a token that is known, valid and not expired',
  forbidden:
    'your credentials do not give the permission that is needed; or, without keys, Host or Origin is of elsewhere',
  queue_empty: 'RECV finds no message: ask again later',
  not_delivered: 'FREE, KEEP or BACK of a message that the address does not hold',
  not_found: 'no such path',
  method_not_allowed: 'use a method that the header Allow names',
  request_timeout: 'send faster, on a new connection',
  too_large: 'send less: the body is over its limit, and nothing was done',
  unsupported_media_type: 'send Content-Type: application/json, without Content-Encoding',
  id_conflict: 'a SEND with dedup and an id used before with another payload: take a new id',
  lease_lost: 'the receipt is of a delivery that is over',
  queue_full: 'wait as long as Retry-After says, and until receivers have freed some, or said GBYE',
  rate_limited: 'wait as long as Retry-After says: nothing was done',
  headers_too_large: 'send less, on a new connection',
  internal: "look for the X-Request-Id in aizumi's log",
  not_supported: 'the broker does not push: use RECV',
  unavailable: 'Redis is away, or refuses: wait as long as Retry-After says, then see outcome',
  not_durable: 'too few replicas confirmed in time: the message may be there, and may be lost',
  durability_unavailable: 'a Redis node keeps nothing on disk: quorum and all cannot be given; nothing was done',
  overloaded: 'the worker has more to do than it may: wait as long as Retry-After says, or use another',
  draining: 'this worker is stopping: use another',
};

/** Reasons that POST / does not have. */
export const NOT_OF_REQUESTS: readonly Reason[] = ['not_found', 'method_not_allowed', 'draining'];

/** Reasons that any GET has. */
export const OF_ANY_GET: readonly Reason[] = [
  'request_timeout',
  'headers_too_large',
  'method_not_allowed',
  'internal',
  'overloaded',
];

/** Reasons of what asks for credentials. */
export const OF_CREDENTIALS: readonly Reason[] = ['unauthenticated', 'forbidden', 'rate_limited'];
