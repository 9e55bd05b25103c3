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
/** A client that reads no byte of a reply for this long is disconnected, ms. */
export const STALL_MS = 10_000;
/** When a worker stops: connections that are still idle after this time are closed, ms. */
export const DRAIN_IDLE_MS = 300;
/** When a worker stops: requests under way are cut after this time, ms. */
export const DRAIN_MS = 9_000;
/** The reply to a client over its rate is delayed by this time, ms: it throttles clients that ignore Retry-After. */
export const THROTTLE_MS = 500;
/** Replies that are delayed in this way at the same time; further ones are written at once, and their connections closed. */
export const MAX_THROTTLED = 1_000;
/** Retry-After of requests that are refused because Redis is away, or the worker or a share of it is full at the moment, s. */
export const RETRY_AFTER_S = 1;

// ---- http: connections ----

/** Connections over AIZUMI_MAX_CONNECTIONS whose first request is answered 503; those beyond are reset. */
export const MAX_REFUSED_CONNECTIONS = 100;
/** Requests of one connection without a reply; the connection is not read while there are more. */
export const MAX_PIPELINED = 100;
/** One packet may hold more requests than that. A connection with more than this many POSTs, or other requests, is closed. */
export const CUT_PIPELINED_POSTS = 1_000;
export const CUT_PIPELINED_OTHERS = 16;

// ---- http: what counts in the worker's memory (AIZUMI_MAX_BYTES_IN_FLIGHT), bytes; measured with Node 20 ----

/** A connection: 10 KB while idle, and up to 16 KB more while it sends headers. */
export const CONNECTION_BYTES = 16_384;
/** A request until it is answered: the objects of Node, Koa and aizumi. */
export const REQUEST_BYTES = 12_288;
/** How many times a byte of a body counts: for its text, the command to Redis, and that command's bytes. */
export const BODY_COPIES = 3;
/** A request in a batch beside its text, until the whole batch is answered. */
export const BATCH_ELEMENT_BYTES = 2_048;
/** A RECV that waits. */
export const WAITING_RECV_BYTES = 1_024;
/** How many times a byte of a received message counts: for its text from Redis, and the reply's. */
export const REPLY_COPIES = 2;
/**
 * Replies of one client that are being made or sent, bytes. More would bring no throughput, and a GB of them on the heap delays
 * everybody else: beside 100 connections that read nothing of their replies of 4 MB (docs/limits.md, B4) p99 was 6.9 s without
 * this bound and 1.8 s with it, on a busy machine.
 */
export const MAX_CLIENT_REPLY_BYTES = 134_217_728;
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
/** Characters of an unknown field's name that the reply quotes. */
export const MAX_REPEATED_NAME = 64;

// ---- queue: what one script call does ----

/**
 * Most messages of a slice: 0.6 to 3 ms. Measured with INFO commandstats on 2 shared cores of an AMD EPYC, Redis 7.0.15, payloads
 * of 100 bytes, µs per message: RECV of new messages 9 to 15 (a RECV of one 25 to 50), of redelivered ones 47; FREE 10 to 17;
 * PEEK of waiting messages 13, of leased ones 28; DROP 34; MOVE 40; GBYE 4; an expired message 36; a delay that is over 15; a
 * lease that has ended 8.
 */
export const SLICE_MESSAGES = 64;
/** A slice ends when its payloads have this length together, bytes: 1 ms (2 to 2.5 ms per MB, measured as above). */
export const SLICE_BYTES = 524_288;
/** A RECV of one that processes no more messages does not wait for a slice's turn: it takes under 0.2 ms. */
export const LIGHT_MESSAGES = 4;
/** Such a RECV returns at most this many bytes. */
export const LIGHT_BYTES = 8_192;
/** The reply to a RECV or PEEK ends when its payloads have this length together, bytes. */
export const MAX_REPLY_PAYLOAD_BYTES = 4_194_304;
/** The most that a message takes in a reply beside its payload, with the details of its delivery, bytes. */
export const ENVELOPE_BYTES = 400;

// ---- queue: turns ----

/** Messages under way to a Redis at the same time: two slices, so that Redis has the next slice when it has finished one. */
export const MAX_SLICE_MESSAGES_UNDER_WAY = 2 * SLICE_MESSAGES;
/** Slices of one client that may wait; further ones are refused. */
export const MAX_WAITING_SLICES = 20_000;
/** Requests and slices that could not begin within this time are refused, ms. */
export const TURN_PATIENCE_MS = 10_000;
/** How often it is checked which of them have waited too long, ms. */
export const TURN_CHECK_MS = 250;
/** Cost of a script; an XADD of a small message costs 1, which is some 2 µs of Redis. */
export const SCRIPT_COST = 8;
/** Cost of a STAT, which reads all keys of a queue and measures them. */
export const STAT_COST = 64;
/** Bytes of a payload that cost as much as an XADD of a small one. */
export const BYTES_PER_COST = 4_096;
/** Cost that one client may have under way; a more expensive request is sent alone. 1,024 XADDs or 128 scripts take 2 to 6 ms. */
export const MAX_COST_UNDER_WAY = 1_024;
/** The same for writes that wait for replicas: one WAIT confirms them all, and takes as long as many of them. */
export const MAX_DURABLE_COST_UNDER_WAY = 4_096;
/** When there are this many clients, those that have nothing under way are forgotten. */
export const MAX_IDLE_CLIENTS = 10_000;

// ---- queue: RECV ----

/** A RECV that has messages continues for this long after slices that have found none, ms. */
export const RECV_PATIENCE_MS = 500;
/** How often a RECV is tried, since the next message may meanwhile be another, larger one. */
export const MAX_RECV_TRIES = 4;
/** Most messages that are remembered for an attempt_id. */
export const MAX_ATTEMPT_MESSAGES = 1_000;
/** A waiter's queue is polled again after this time, ms, even when nothing falls due earlier: Redis's clock may have jumped. */
export const MAX_POLL_PAUSE_MS = 5_000;
/** Changes that no event reports, such as a slot that was moved in a Cluster, are noticed within this time, ms. */
export const MISSED_CHANGES_CHECK_MS = 1_000;
/** Addresses that are polled at the same time when all must be. */
export const POLLED_AT_ONCE = 500;
/** A RECV polls again for this long, ms, while the script returns that it stopped at its bound. */
export const POLL_PATIENCE_MS = 500;

// ---- queue: bytes, measured ----

/** What a leased message takes in Redis beside its entry, bytes: measured 373 with Redis 7.0.15 (docs/limits.md). */
export const LEASE_BYTES = 390;
/** What an entry takes beside its payload, bytes: 20 to 130. */
export const ENTRY_BYTES = 130;
/** Nodes of a stream that STAT measures, in some 20 µs of Redis. */
export const ESTIMATED_NODES = 400;
/** All workers together add fewer messages to one queue in a millisecond: an XADD takes Redis 2 µs or more. */
export const FASTEST_GROWTH_PER_MS = 500;
/** A limit that HELO has lowered takes effect within this time, ms, as docs/protocol.md promises. */
export const STALE_LENGTH_MS = 2_000;
/** A worker measures a queue again after it has added this part of the bytes that the queue may take. */
export const MEASURED_PART = 1 / 16;
/** A full queue is measured again after this time at the earliest, ms. */
export const FULL_QUEUE_PAUSE_MS = 250;
/** A large queue is measured after a longer pause: 2 s for 1 GiB, which takes Redis 20 ms and more (docs/limits.md). */
export const MEASURE_PAUSE_MS_PER_BYTE = 2_000 / 2 ** 30;
/** The queues of a client that is near its limit of bytes are measured at this interval, ms, this many at the same time. */
export const CLIENT_MEASURE_MS = 100;
export const CLIENT_MEASURED_AT_ONCE = 50;
/** How many of these, chosen at random, are checked for expired messages: with messages of 1 MB each takes Redis 4 ms. */
export const CLIENT_CHECKED_AT_ONCE = 4;
/** A client that has stored this part of its bytes has its queues measured, so that it is not refused for freed bytes. */
export const CLIENT_MEASURED_PART = 1 / 2;

// ---- queue: expired and deleted messages ----

/** Slices of one sweep for expired messages: 1,024 messages, some 50 ms of Redis if all of them have expired. */
export const MAX_SWEEP_SLICES = 16;
/** A sweep that waits longer for its turn gives up, ms: the SEND that waits for it is refused then. */
export const SWEEP_PATIENCE_MS = 500;
/**
 * After a sweep that found nothing the next one is put off by this time, ms, and by at least this many times its duration, so
 * that sweeps take at most a tenth of the turns.
 */
export const SWEEP_PAUSE_MS = 100;
export const SWEEP_PAUSE_TIMES = 9;
/** A request that deletes all messages stops after this time, ms, and returns that there are more. */
export const PURGE_MS = 10_000;

// ---- queue: lists of queues ----

/** Queues that the metrics read in one round, and in one packet to Redis: each costs it some 20 µs. */
export const TOP_QUEUES_ROUND = 1_000;
export const TOP_QUEUES_AT_ONCE = 50;
/** Queues of a page of GET /queues in one turn: with 20 to 50 µs each, as much work as a slice. */
export const LISTED_AT_ONCE = 20;
/** Ranges of addresses that GET /queues reads in one round trip. */
export const RANGES_AT_ONCE = 50;
/** A sample of a queue's counters is kept for this long, ms. */
export const KEEP_SAMPLE_MS = 3_600_000;
/** Addresses that the repair of the register looks up in one command, and the pause after it, ms. */
export const REGISTER_REPAIRED_AT_ONCE = 200;
export const REGISTER_PAUSE_MS = 20;
/** Time between rounds, ms. Lost addresses return within a minute: a round through all that are remembered takes some 15 s. */
export const REGISTER_ROUND_MS = 10_000;

// ---- queue: what a worker remembers ----

/** Addresses whose lengths and bytes are known; a worker that serves more forgets them all and asks Redis again. */
export const REMEMBERED_LENGTHS = 100_000;
/** Addresses whose message sizes are remembered, for how long at least, and for twice that at most, ms. */
export const REMEMBERED_SIZES = 100_000;
export const REMEMBERED_SIZES_MS = 300_000;
/** Addresses that were used lately, remembered for how long at least, and for twice that at most, ms. */
export const REMEMBERED_USES = 100_000;
export const REMEMBERED_USES_MS = 180_000;
/** Addresses whose sweeps are remembered; with more all are forgotten, and their sweeps begin at the start. */
export const REMEMBERED_SWEEPS = 10_000;
/** Clients and addresses whose bytes are counted; with more all are forgotten, which is in the clients' favour. */
export const REMEMBERED_CLIENTS = 10_000;
export const REMEMBERED_SHARES = 100_000;
/** Ends of delays that are remembered to a sixteenth of the delay; further ones are rounded up to a day. */
export const REMEMBERED_ENDS = 100_000;
