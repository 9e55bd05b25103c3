// The Koa application: what happens to a request, in this order.
import Router from '@koa/router';
import Koa from 'koa';
import type { Context, Next } from 'koa';
import type { Logger } from 'pino';
import { BrokerError } from '../errors.js';
import type { Broker } from '../messages/fields.js';
import { answer, answerBatch } from '../messages/index.js';
import { isBatch } from '../messages/json-text.js';
import { traceparentOf } from '../tracing.js';
import { together } from './batch.js';
import { readBody } from './body.js';
import { HttpClient } from './client.js';
import { fail } from './failure.js';
import { answerBrowser } from './front-page.js';
import { addProbes } from './probes.js';
import type { Probes } from './probes.js';
import { addQueues } from './queues.js';
import { addReference } from './reference.js';
import { reply } from './reply.js';

export interface AppOptions {
  broker: Broker;
  log: Logger;
  maxBodyBytes: number;
  maxBatch: number;
  probes: Probes;
}

export function createApp({ broker, log, maxBodyBytes, maxBatch, probes }: AppOptions): Koa {
  const app = new Koa();
  const router = new Router({ strict: true, sensitive: true });
  addProbes(router, probes);
  addQueues(router, broker);
  addReference(router, { version: broker.version, maxBatch });
  const answerPost = async (ctx: Context): Promise<void> => {
    const text = await readBody(ctx.req, maxBodyBytes);
    const client = new HttpClient(ctx.req.socket);
    client.traceparent = traceparentOf(ctx.req.headers.traceparent);
    try {
      if (isBatch(text)) {
        const { code, text: all, headers } = await together(() => answerBatch(text, broker, client, maxBatch), log);
        replyOrUndo(client, log, ctx, code, all, headers);
      } else replyOrUndo(client, log, ctx, 200, await answer(text, broker, client), client.headers);
    } finally {
      client.release();
    }
  };

  // the hot path comes first and goes through nothing else
  app.use(async (ctx: Context, next: Next) => {
    try {
      if (ctx.req.url !== '/' && pathOf(ctx) !== '/') await next();
      else if (ctx.req.method === 'POST') await answerPost(ctx);
      else if (!answerBrowser(ctx, broker.version)) throw methodNotAllowed(ctx, 'POST');
    } catch (error) {
      fail(ctx, error, log);
    }
  });
  app.use(router.routes());
  app.use((ctx: Context) => {
    const { path } = ctx;
    const route = router.stack.find((known) => known.match(path));
    if (route) throw methodNotAllowed(ctx, route.methods.join(', '));
    throw new BrokerError(
      'not_found',
      'no such path: requests are POSTed to /, queues are at GET /queues, probes at GET /livez and /readyz',
    );
  });
  // Koa reports here what went wrong outside the try above: a bug, or a client that went away, which is its right
  app.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') log.warn({ error }, 'a reply could not be written');
  });
  return app;
}

/** Writes the reply, unless there is nobody left to read it. */
function replyOrUndo(client: HttpClient, log: Logger, ...answered: Parameters<typeof reply>): void {
  if (!client.isGone) {
    reply(...answered);
    return;
  }
  const [ctx] = answered;
  ctx.respond = false;
  ctx.res.destroy();
  void client.undo(log);
}

/** The path, also of a request target in absolute form. */
function pathOf(ctx: Context): string {
  try {
    return ctx.path;
  } catch {
    throw new BrokerError('invalid_request', 'the request target is not a valid URL');
  }
}

function methodNotAllowed(ctx: Context, allow: string): BrokerError {
  ctx.res.setHeader('Allow', allow);
  return new BrokerError('method_not_allowed', `use ${allow.replace(', ', ' or ')}`);
}
