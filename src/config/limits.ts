// Every bound that is a constant, by layer in alphabetical order; bounds that an operator may choose are in settings.ts.
// docs/limits.md explains them together.

// ---- access ----

/** Addresses are 32-bit unsigned integers. */
export const MAX_ADDRESS = 0xffff_ffff;
/** Addresses and ranges in one permission of a key or token. */
export const MAX_GRANTED_RANGES = 1_000;
/** Tokens whose verification is remembered; the oldest is forgotten first. */
export const MAX_VERIFIED_TOKENS = 10_000;
/** How long a verification is remembered, ms: a key that the issuer withdraws is not trusted for longer. */
export const VERIFIED_TOKEN_MS = 60_000;
/** A token must expire within this time, s: one that is valid for years cannot be withdrawn. */
export const MAX_TOKEN_LIFE_S = 366 * 24 * 3_600;
/** How long the fetch of an issuer's keys may take, ms. */
export const ISSUER_KEYS_FETCH_MS = 3_000;
/** The issuer's keys, bytes: each is a few hundred bytes, and an endless response must not fill the worker's memory. */
export const MAX_ISSUER_KEYS_BYTES = 262_144;

// ---- http: time ----

/** From a request's first byte to the end of its headers, and to its end, ms. A TLS handshake has as long as headers. */
export const REQUEST_HEADERS_MS = 10_000;
export const WHOLE_REQUEST_MS = 15_000;
/** A client that takes no byte of a reply for so long is disconnected, ms. */
export const STALL_MS = 10_000;
/** When a worker stops: connections that are still idle after this time are closed, ms. */
export const DRAIN_IDLE_MS = 300;
/** When a worker stops: requests under way are cut after this time, ms. */
export const DRAIN_MS = 9_000;
/** The reply to a client over its rate is delayed by this time, ms: it throttles clients that ignore Retry-After. */
export const THROTTLE_MS = 500;
/** Replies that are delayed so at the same time; more are written at once, and their connections are closed. */
export const MAX_THROTTLED = 1_000;
/** Retry-After of requests that are refused because the worker, or a share of it, is full at the moment, s. */
export const RETRY_AFTER_S = 1;

// ---- http: connections ----

/** Connections over AIZUMI_MAX_CONNECTIONS whose first request is answered 503; those beyond are reset. */
export const MAX_REFUSED_CONNECTIONS = 100;
/** Requests of one connection without a reply; it is not read while there are more. */
export const MAX_PIPELINED = 100;
/** One packet may bring more requests than that. A connection with more than these is closed: POSTs, and other requests. */
export const CUT_PIPELINED_POSTS = 1_000;
export const CUT_PIPELINED_OTHERS = 16;

// ---- http: what counts in the worker's memory (AIZUMI_MAX_BYTES_IN_FLIGHT), bytes; measured with Node 20 ----

/** A connection: 10 KB while idle, and up to 16 KB more while it sends headers. */
export const CONNECTION_BYTES = 16_384;
/** A request until it is answered: the objects of Node, Koa and aizumi. */
export const REQUEST_BYTES = 12_288;
/** A byte of a body counts so many times: its text, the command to Redis, and that command's bytes. */
export const BODY_COPIES = 3;
/** A request in a batch beside its text, until the whole batch is answered. */
export const BATCH_ELEMENT_BYTES = 2_048;
/** A RECV that waits. */
export const WAITING_RECV_BYTES = 1_024;
/** A byte of a received message counts so many times: its text from Redis, and the reply's. */
export const REPLY_COPIES = 2;
/** A message to be received from a queue whose sizes are not known yet. */
export const UNKNOWN_MESSAGE_BYTES = 4_096;
/** A queue in the reply to GET /queues. */
export const REPORTED_QUEUE_BYTES = 3_072;

// ---- http: the rest ----

/** Bodies with more characters take turns on the event loop; shorter ones are parsed in less than a millisecond. */
export const LIGHT_CHARACTERS = 16_384;
/** Clients and addresses whose rates are remembered before those that are within their limit are forgotten. */
export const REMEMBERED_RATES = 10_000;
/** Characters of a client's name and of a path in the audit log. */
export const MAX_AUDITED_CHARACTERS = 128;

// ---- messages ----

/** Objects and arrays inside each other in a request. */
export const MAX_DEPTH = 64;
/** Messages that one request may name or receive. */
export const MAX_MESSAGES_AT_ONCE = 1_000;
/** Queues in one page of GET /queues. */
export const MAX_QUEUES_AT_ONCE = 1_000;
/** Requests of a batch that are started in one turn of the event loop: 3 to 5 ms of work. */
export const BATCH_STARTED_AT_ONCE = 100;
/** A payload with more characters is kept only as text while the request is carried out. */
export const KEPT_PAYLOAD_CHARACTERS = 1_024;
/** How long a RECV may wait, ms: 20 s, as in SQS. */
export const MAX_WAIT_MS = 20_000;
/** How long a message may be leased, ms: 12 hours, as in SQS. */
export const MAX_VISIBILITY_TIMEOUT_MS = 43_200_000;
/** How long a message may be delayed, ms: 7 days. */
export const MAX_DELAY_MS = 604_800_000;
/** How long a message may live, ms: a year. */
export const MAX_TTL_MS = 31_536_000_000;
/** Characters of a receipt and of an attempt_id. */
export const MAX_NAME_CHARACTERS = 64;
/** Faults of one request that are listed in the reply; the others are counted. */
export const MAX_LISTED_FAULTS = 20;
/** Characters of an unknown field's name that the reply repeats. */
export const MAX_REPEATED_NAME = 64;
