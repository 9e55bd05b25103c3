// The broker's own errors: a leaf that every layer may use. What they mean in HTTP is http/failure's business.

/** Why a request was not done. docs/protocol.md explains each; http/failure.ts gives each its status. */
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

/** One thing wrong with a request: the field's name (dotted for nested ones) and the rule that it breaks. */
export interface Fault {
  field: string;
  message: string;
}

interface Extra {
  details?: readonly Fault[];
  /** Seconds after which a retry may succeed. */
  retryAfterS?: number;
  /** Whether the request may have taken effect all the same; only for `rate_limited` and for 5xx. */
  outcome?: 'not_done' | 'unknown';
  /** For the audit log: who asked for what. */
  about?: About;
  cause?: unknown;
}

export interface About {
  who: string;
  request: string;
  address?: number;
}

/** A failure that the client is told about. `message` says what to do. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly details: readonly Fault[];
  readonly retryAfterS: number | undefined;
  readonly outcome: 'not_done' | 'unknown' | undefined;
  readonly about: About | undefined;
  /** The reply that the client would have got, for example MSG_SEND_ACK; undefined while it cannot be told. */
  msgType: string | undefined;

  constructor(
    readonly reason: Reason,
    message: string,
    { details = [], retryAfterS, outcome, about, cause }: Extra = {},
  ) {
    super(message, { cause });
    this.details = details;
    this.retryAfterS = retryAfterS;
    this.outcome = outcome;
    this.about = about;
  }
}
