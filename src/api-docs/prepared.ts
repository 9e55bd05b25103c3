// Pages and files that are the same for everybody: made once, served with an ETag.
import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import { reply } from '../http/reply.js';

export interface Prepared {
  /** The media type, without its charset: all are UTF-8. */
  type: string;
  bytes: Buffer;
  etag: string;
}

export function prepare(type: string, content: string | Buffer): Prepared {
  const bytes = Buffer.from(content);
  return { type, bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` };
}

/** A Content-Security-Policy that allows nothing except the given sources. */
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

/**
 * Replies with a page or a file, or with 304 to a client that has the same one.
 * @param headers beyond the usual, or instead of them
 */
export function answerPrepared(
  ctx: Context,
  { type, bytes, etag }: Prepared,
  headers: Record<string, string> = {},
): void {
  ctx.set({
    'Content-Security-Policy': NOTHING,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    // browsers revalidate each time, and receive 304 while it is the same
    'Cache-Control': 'no-cache',
    ETag: etag,
    ...headers,
  });
  ctx.status = 200; // ctx.fresh compares the headers only of a successful response
  if (ctx.fresh) reply(ctx, 304, undefined);
  else reply(ctx, 200, bytes, { 'Content-Type': `${type}; charset=utf-8` });
}
