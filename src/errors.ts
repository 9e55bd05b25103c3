// The broker's own errors, and the table of their reasons: a leaf that every layer may use.

/** Why a request failed. */
export type Reason =
  | 'invalid_json'
  | 'invalid_request'
  | 'unknown_msg_type'
  | 'unauthenticated'
  | 'forbidden'
  | 'queue_empty'
  | 'not_delivered'
  | 'not_found'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'too_large'
  | 'unsupported_media_type'
  | 'id_conflict'
  | 'lease_lost'
  | 'queue_full'
  | 'rate_limited'
  | 'headers_too_large'
  | 'internal'
  | 'not_supported'
  | 'unavailable'
  | 'not_durable'
  | 'durability_unavailable'
  | 'overloaded'
  | 'draining';

/** The operations in openapi.json: POST /, GET /queues and GET /queues/{address}, and each probe. */
export type Operation = 'request' | 'queues' | 'readyz' | 'livez';

/** A row of the table of reasons. The type parameter makes the compiler name the row that lacks something. */
export interface ReasonRow<_Name extends Reason> {
  /** The HTTP status, which is also the reply's code. */
  readonly status: number;
  /** When it occurs; docs/protocol.md and openapi.json have the same text. */
  readonly meaning: string;
  /** What to do before the request is sent again. */
  readonly retry: string;
  /** Which operations reply with it; empty: a request to a path that does not exist. */
  readonly repliesTo: readonly Operation[];
  /** The header that such a reply has. */
  readonly header?: 'Allow' | 'Retry-After' | 'WWW-Authenticate';
}

const EVERYWHERE = ['request', 'queues', 'readyz', 'livez'] as const;

export const REASONS: { readonly [Name in Reason]: ReasonRow<Name> } = {
  invalid_json: {
    status: 400,
    meaning: 'the body is not JSON, or not UTF-8',
    retry: 'correct the request',
    repliesTo: ['request'],
  },
  invalid_request: {
    status: 400,
    meaning:
      'the body is neither an object nor an array of at least one request; or a request is not an object, is ' +
      'nested deeper than 64 levels, lacks `msg_type`, or has bad or unknown fields; or a parameter of a GET is ' +
      'not valid; or the bytes are not HTTP',
    retry: 'correct what `details` names',
    repliesTo: ['request', 'queues', 'readyz'],
  },
  unknown_msg_type: {
    status: 400,
    meaning: '`msg_type` is not in the table of requests',
    retry: 'correct it',
    repliesTo: ['request'],
  },
  unauthenticated: {
    status: 401,
    meaning: 'no key or token, or one that is unknown, invalid or expired; with `WWW-Authenticate: Bearer`',
    retry: 'send valid credentials; a batch is refused as a whole',
    repliesTo: ['request', 'queues'],
    header: 'WWW-Authenticate',
  },
  forbidden: {
    status: 403,
    meaning:
      'the key or token lacks the permission that the request needs; or no keys are configured, and Host or ' +
      'Origin is not of this machine',
    retry: 'use your own address, or ask for a key with that permission; without keys, connect to localhost',
    repliesTo: ['request', 'queues'],
  },
  queue_empty: { status: 404, meaning: 'RECV finds no message', retry: 'poll again', repliesTo: ['request'] },
  not_delivered: {
    status: 404,
    meaning: 'FREE, KEEP or BACK of a message that the address does not hold',
    retry: 'nothing: it was freed before, never received, or redelivered to another receiver after its lease ended',
    repliesTo: ['request'],
  },
  not_found: { status: 404, meaning: 'no such path', retry: 'POST to `/`', repliesTo: [] },
  method_not_allowed: {
    status: 405,
    meaning: 'the path exists, but not with this method',
    retry: 'use a method that the header `Allow` names',
    repliesTo: ['queues', 'readyz', 'livez'],
    header: 'Allow',
  },
  request_timeout: {
    status: 408,
    meaning: 'the headers took longer than 10 s, or the whole request longer than 15 s; the connection is closed',
    retry: 'send faster, on a new connection',
    repliesTo: EVERYWHERE,
  },
  too_large: {
    status: 413,
    meaning:
      'the body exceeds AIZUMI_MAX_BODY_BYTES, and is refused as soon as that is known; or it holds more than ' +
      'AIZUMI_MAX_BATCH requests',
    retry: 'send less; the connection stays usable',
    repliesTo: ['request'],
  },
  unsupported_media_type: {
    status: 415,
    meaning: 'Content-Type is not application/json in UTF-8, or there is a Content-Encoding',
    retry: 'send plain JSON with Content-Type: application/json',
    repliesTo: ['request'],
  },
  id_conflict: {
    status: 409,
    meaning: 'SEND with `dedup` and an id that the sender used before, with another payload',
    retry: 'use a new id',
    repliesTo: ['request'],
  },
  lease_lost: {
    status: 409,
    meaning: 'FREE, KEEP or BACK with the receipt of a delivery that is over',
    retry:
      'nothing, and discard your result if you can: the message was freed, returned, or redelivered to another ' +
      'receiver',
    repliesTo: ['request'],
  },
  queue_full: {
    status: 429,
    meaning: 'SEND to a queue that is full; SEND or HELO of a client that has used its share of queues or bytes',
    retry: 'wait as long as `Retry-After` says, and until receivers have freed messages or sent GBYE',
    repliesTo: ['request'],
    header: 'Retry-After',
  },
  rate_limited: {
    status: 429,
    meaning:
      'you, or the address that the request comes from, have sent more requests per second than allowed, or too ' +
      'many of your RECVs are waiting (limits.md)',
    retry: 'wait as long as `Retry-After` says',
    repliesTo: ['request', 'queues'],
    header: 'Retry-After',
  },
  headers_too_large: {
    status: 431,
    meaning: 'the headers have 16 KiB or more; the connection is closed',
    retry: 'send less, on a new connection',
    repliesTo: EVERYWHERE,
  },
  internal: {
    status: 500,
    meaning: 'a fault of aizumi, or data in Redis that aizumi did not write',
    retry: "find the `X-Request-Id` in aizumi's log",
    repliesTo: EVERYWHERE,
  },
  not_supported: {
    status: 501,
    meaning: 'MSG_PUSH_REQ and MSG_PUSH_ACK',
    retry: 'use MSG_RECV_REQ',
    repliesTo: ['request'],
  },
  unavailable: {
    status: 503,
    meaning:
      "Redis is unreachable, does not answer within 0.8 s, or refuses; or the keys of a token's issuer cannot " +
      'be fetched; `outcome` says what is known of the request',
    retry: 'wait as long as `Retry-After` says, then act on `outcome`',
    repliesTo: ['request', 'queues', 'readyz'],
    header: 'Retry-After',
  },
  not_durable: {
    status: 503,
    meaning:
      'SEND at `quorum` or `all` that too few replicas confirmed within AIZUMI_DURABILITY_TIMEOUT_MS, or that ' +
      'was not shown to survive a fail-over; its outcome is `unknown`',
    retry: 'send it again if it had `dedup`; otherwise that may add the message twice',
    repliesTo: ['request'],
    header: 'Retry-After',
  },
  durability_unavailable: {
    status: 503,
    meaning: 'SEND at `quorum` or `all` while a Redis node keeps nothing on disk; its outcome is `not_done`',
    retry: 'set `appendonly yes` on every node (durability.md), or send at `primary`',
    repliesTo: ['request'],
    header: 'Retry-After',
  },
  overloaded: {
    status: 503,
    meaning:
      'the worker has more work, more connections or more in memory than its limits allow, or the reply to a ' +
      'batch has no room (limits.md)',
    retry: 'wait as long as `Retry-After` says, or use another worker',
    repliesTo: EVERYWHERE,
    header: 'Retry-After',
  },
  draining: {
    status: 503,
    meaning: 'GET /readyz of a worker that is stopping',
    retry: 'use another worker',
    repliesTo: ['readyz'],
    header: 'Retry-After',
  },
};

/** A fault of a request: the field's name (dotted for nested fields) and the rule that it breaks. */
export interface Fault {
  field: string;
  message: string;
}

interface Extra {
  details?: readonly Fault[];
  /** Seconds after which a retry may succeed. */
  retryAfterS?: number;
  /** Whether the request may have taken effect nevertheless; only for `rate_limited` and for 5xx. */
  outcome?: 'not_done' | 'unknown';
  /** For the audit log: the client and its request. */
  about?: About;
  cause?: unknown;
}

export interface About {
  who: string;
  request: string;
  address?: number;
}

/** A failure that is reported to the client. `message` says what to do. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly details: readonly Fault[];
  readonly retryAfterS: number | undefined;
  readonly outcome: 'not_done' | 'unknown' | undefined;
  readonly about: About | undefined;
  /** The reply that the client would have received, for example MSG_SEND_ACK; undefined while the request's type is not known. */
  msgType: string | undefined;

  constructor(
    readonly reason: Reason,
    message: string,
    { details = [], retryAfterS, outcome, about, cause }: Extra = {},
  ) {
    // No stack: an expected refusal needs none, and collecting it cost 8 µs. An unexpected error is the cause, with its own stack.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, { cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.details = details;
    this.retryAfterS = retryAfterS;
    this.outcome = outcome;
    this.about = about;
  }
}

/** @returns the error itself, or an `internal` one in place of an error that is not a BrokerError */
export const toBrokerError = (error: unknown, outcome?: 'unknown'): BrokerError =>
  error instanceof BrokerError
    ? error
    : new BrokerError('internal', 'the broker failed; its log says more', {
        ...(outcome && { outcome }),
        cause: error,
      });
