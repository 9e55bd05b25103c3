// Pages and files that are the same for everybody: made once, answered with an ETag.
import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { isDraining } from './reply.js';

export interface Prepared {
  type: string;
  bytes: Buffer;
  etag: string;
}

export function prepare(type: string, content: string | Buffer): Prepared {
  const bytes = Buffer.from(content);
  return { type, bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` };
}

/** A policy that allows nothing, but for what `sources` names. */
export const policy = (sources: Readonly<Record<string, string>>): string =>
  Object.entries({
    'default-src': "'none'",
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
    ...sources,
  })
    .map((directive) => directive.join(' '))
    .join('; ');

const NOTHING = policy({});

/** @param headers beyond the usual, or instead of them */
export function answerPrepared(
  ctx: Context,
  { type, bytes, etag }: Prepared,
  headers: Record<string, string> = {},
): void {
  ctx.set({
    'Content-Security-Policy': NOTHING,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    // asked for again each time, and not sent again while it is the same
    'Cache-Control': 'no-cache',
    ETag: etag,
    ...headers,
  });
  if (isDraining(ctx.res)) ctx.res.shouldKeepAlive = false;
  ctx.status = 200;
  ctx.type = type;
  if (ctx.fresh) ctx.status = 304;
  else ctx.body = bytes;
}
