// Any throw → a reply. What each reason means in HTTP is said here and nowhere else.
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'koa';
import type { Logger } from 'pino';
import { BrokerError } from '../errors.js';
import type { Reason } from '../errors.js';
import { auditRefused } from './audit.js';
import { ClientGone } from './body.js';
import { JSON_TYPE, reply } from './reply.js';
import { requestIdOf } from './request-id.js';

/** Fails to compile when a reason has no status. docs/protocol.md is compared with it by a test. */
export const STATUS_OF: Readonly<Record<Reason, number>> = {
  invalid_json: 400,
  invalid_request: 400,
  unknown_msg_type: 400,
  unauthenticated: 401,
  forbidden: 403,
  queue_empty: 404,
  not_delivered: 404,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  id_conflict: 409,
  lease_lost: 409,
  too_large: 413,
  unsupported_media_type: 415,
  queue_full: 429,
  rate_limited: 429,
  headers_too_large: 431,
  internal: 500,
  not_supported: 501,
  unavailable: 503,
  not_durable: 503,
  durability_unavailable: 503,
  overloaded: 503,
  draining: 503,
};

/** The one shape of every error: JSON text. */
export function errorBody({ reason, message, details, outcome, msgType }: BrokerError): string {
  const code = STATUS_OF[reason];
  return JSON.stringify({
    code,
    status: STATUS_CODES[code],
    msg_type: msgType,
    error: { reason, message, outcome, details },
  });
}

/** Answers a request that failed. @returns with what; undefined: there was nobody left to answer */
export function fail(ctx: Context, error: unknown, log: Logger): BrokerError | undefined {
  if (error instanceof ClientGone) {
    ctx.respond = false;
    return undefined;
  }
  const failure = failureOf(error);
  reply(ctx, STATUS_OF[failure.reason], errorBody(failure), failureHeaders([failure], ctx.req, log));
  return failure;
}

/** Answers, beside Koa, a request that was refused before anything looked at it; its connection is closed. */
export function refuse(req: IncomingMessage, res: ServerResponse, failure: BrokerError): void {
  const body = errorBody(failure);
  res.shouldKeepAlive = false;
  res
    .writeHead(STATUS_OF[failure.reason], {
      'Content-Type': JSON_TYPE,
      'Content-Length': Buffer.byteLength(body),
      ...(failure.retryAfterS && { 'Retry-After': failure.retryAfterS }),
      'X-Request-Id': requestIdOf(req),
    })
    .end(body);
}

/** What the client is told of whatever was thrown. */
export const failureOf = (error: unknown): BrokerError =>
  error instanceof BrokerError
    ? error
    : new BrokerError('internal', 'the broker failed; its log says more', { cause: error });

/** `overloaded` is logged when it begins and ends (http/pressure). */
const NOT_LOGGED = new Set<Reason>(['not_supported', 'overloaded']);

/**
 * The headers of a reply with these failures in it. They are logged under the id that the client gets too, those that are the
 * client's own doing only where everything is; of several in the same words one.
 */
export function failureHeaders(
  failures: BrokerError[],
  req: IncomingMessage,
  log: Logger,
): Record<string, string | number> {
  const headers: Record<string, string | number> = {};
  if (failures.length === 0) return headers;
  const waits = failures.flatMap(({ retryAfterS }) => retryAfterS ?? []);
  if (waits.length > 0) headers['Retry-After'] = Math.max(...waits);
  if (failures.some(({ reason }) => reason === 'unauthenticated')) headers['WWW-Authenticate'] = 'Bearer';
  const requestId = requestIdOf(req);
  headers['X-Request-Id'] = requestId;
  const logged = new Set<string>();
  for (const failure of failures) {
    auditRefused(log, req, requestId, failure);
    const code = STATUS_OF[failure.reason];
    if (code < 500 || NOT_LOGGED.has(failure.reason)) {
      // its message may repeat the request's own words
      log.debug({ requestId, code, reason: failure.reason, msgType: failure.msgType }, 'a request was refused');
      continue;
    }
    if (logged.has(failure.message)) continue;
    logged.add(failure.message);
    const { reason, msgType, cause } = failure;
    const about = { requestId, code, reason, msgType };
    // an outage has its reasons elsewhere: where in the code it was noticed helps nobody
    if (code === 500) log.error({ ...about, error: cause ?? failure }, failure.message);
    else log.warn({ ...about, cause: cause instanceof Error ? cause.message : undefined }, failure.message);
  }
  return headers;
}
