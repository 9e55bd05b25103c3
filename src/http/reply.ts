// The last step of a request: reply text → bytes on the wire. There are two writers, and every reply goes through one of them:
// writeReply where there is a request, and rawReply where there is only a socket.
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { Context } from 'koa';
import { givenRequestId } from './request-id.js';
import { isAccepting } from './server/private-api.js';

const JSON_TYPE = 'application/json; charset=utf-8';

export type ReplyHeaders = Readonly<Record<string, string | number>>;

/**
 * Replies to a request that Koa handles. The reply is written at once instead of being left to Koa, whose own reply costs 12 µs
 * more (docs/benchmarks.md). Middleware outside sees a finished response.
 */
export function reply(ctx: Context, code: number, body: string | Buffer | undefined, headers?: ReplyHeaders): void {
  ctx.respond = false;
  writeReply(ctx.res, code, body, headers);
}

/**
 * Writes the reply to a request, unless one was written already or the connection has ended.
 * @param body undefined: the status has none (304)
 * @param headers beyond the usual, or instead of them; the type is JSON if none is given
 */
export function writeReply(
  res: ServerResponse,
  code: number,
  body: string | Buffer | undefined,
  headers: ReplyHeaders = {},
): void {
  if (res.headersSent || res.destroyed) return;
  if (isDraining(res)) res.shouldKeepAlive = false;
  const requestId = givenRequestId(res.req);
  if (requestId !== undefined) res.setHeader('X-Request-Id', requestId);
  if (body === undefined) res.writeHead(code, headers);
  else res.writeHead(code, { 'Content-Type': JSON_TYPE, 'Content-Length': Buffer.byteLength(body), ...headers });
  res.end(res.req.method === 'HEAD' ? undefined : body);
}

/** @returns a whole reply as text, for a bare socket; the connection is to be closed after it */
export const rawReply = (code: number, text: string): string =>
  `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nContent-Type: ${JSON_TYPE}\r\n` +
  `Content-Length: ${Buffer.byteLength(text)}\r\nX-Request-Id: ${randomUUID()}\r\nConnection: close\r\n\r\n${text}`;

/** A server that no longer listens closes its connections, so that clients connect to another worker. */
const isDraining = (res: ServerResponse): boolean => isAccepting(res) === false;
