// The last step of a request: reply text → bytes on the wire.
import type { ServerResponse } from 'node:http';
import type { Context } from 'koa';
import { givenRequestId } from './request-id.js';
import { isAccepting } from './server/private-api.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * Writes the reply at once instead of leaving it to Koa, whose own reply costs 12 µs more (docs/benchmarks.md).
 * Middleware outside sees a finished response.
 */
export function reply(ctx: Context, code: number, text: string, headers: Record<string, string | number> = {}): void {
  ctx.respond = false;
  const { res } = ctx;
  if (res.headersSent || res.destroyed) return;
  if (isDraining(res)) res.shouldKeepAlive = false;
  const requestId = givenRequestId(ctx.req);
  if (requestId !== undefined) res.setHeader('X-Request-Id', requestId);
  res.writeHead(code, {
    'Content-Type': JSON_TYPE,
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
  res.end(ctx.method === 'HEAD' ? undefined : text);
}

/** A server that no longer listens wants its clients to come back on another connection, to another worker. */
export const isDraining = (res: ServerResponse): boolean => isAccepting(res) === false;
