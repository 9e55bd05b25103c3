// Any error that is thrown → a reply with a log line, in one shape.
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Context } from 'koa';
import type { Logger } from 'pino';
import { REASONS, toBrokerError } from '../errors.js';
import type { BrokerError, Reason } from '../errors.js';
import { auditRefused } from './audit.js';
import { ClientGone } from './body.js';
import { rawReply, reply, writeReply } from './reply.js';
import { requestIdOf } from './request-id.js';

/** @returns the JSON text of an error, which has the same shape everywhere */
export function errorBody({ reason, message, details, outcome, msgType }: BrokerError): string {
  const code = REASONS[reason].status;
  return JSON.stringify({
    code,
    status: STATUS_CODES[code],
    msg_type: msgType,
    error: { reason, message, outcome, details },
  });
}

/** Replies to a request that failed. @returns the failure; undefined: the client had disconnected */
export function fail(ctx: Context, error: unknown, log: Logger): BrokerError | undefined {
  if (error instanceof ClientGone) {
    ctx.respond = false;
    return undefined;
  }
  const failure = toBrokerError(error);
  reply(ctx, REASONS[failure.reason].status, errorBody(failure), failureHeaders([failure], ctx.req, log));
  return failure;
}

/** Replies to a request that is refused before Koa handles it; its connection is closed. */
export function refuse(res: ServerResponse, failure: BrokerError): void {
  res.shouldKeepAlive = false;
  writeReply(res, REASONS[failure.reason].status, errorBody(failure), {
    ...(failure.retryAfterS && { 'Retry-After': failure.retryAfterS }),
    'X-Request-Id': requestIdOf(res.req),
  });
}

/** @returns the whole reply, for a bare socket: what was sent on it is not a request that Node could parse */
export const rawRefusal = (failure: BrokerError): string =>
  rawReply(REASONS[failure.reason].status, errorBody(failure));

/** Reasons with a status of 500 or more that are not logged for each request; http/limits logs when `overloaded` begins. */
const NOT_LOGGED = new Set<Reason>(['not_supported', 'overloaded']);

/**
 * Logs the failures in a reply, with the request id that the reply has, too. Client errors are logged at debug level only;
 * identical messages in a batch are logged once.
 * @returns the reply's headers
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
  if (failures.some(({ reason }) => REASONS[reason].header === 'WWW-Authenticate'))
    headers['WWW-Authenticate'] = 'Bearer';
  const requestId = requestIdOf(req);
  headers['X-Request-Id'] = requestId;
  const logged = new Set<string>();
  for (const failure of failures) {
    auditRefused(log, req, requestId, failure);
    const code = REASONS[failure.reason].status;
    if (code < 500 || NOT_LOGGED.has(failure.reason)) {
      // without the message, which may repeat parts of the request
      log.debug({ requestId, code, reason: failure.reason, msgType: failure.msgType }, 'request refused');
      continue;
    }
    if (logged.has(failure.message)) continue;
    logged.add(failure.message);
    const { reason, msgType, cause } = failure;
    const about = { requestId, code, reason, msgType };
    // no stack trace of an outage: its cause is outside this code
    if (code === 500) log.error({ ...about, error: cause ?? failure }, failure.message);
    else log.warn({ ...about, cause: cause instanceof Error ? cause.message : undefined }, failure.message);
  }
  return headers;
}
