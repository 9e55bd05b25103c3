// The Koa application: the steps that a request goes through, in order, and the one place where any error becomes a reply.
import Router from '@koa/router';
import Koa from 'koa';
import type { Context, Next } from 'koa';
import type { Gate } from '../access/gate.js';
import { REQUEST_BYTES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { ceilings } from '../queue/own-settings.js';
import { createAdmit } from './admission.js';
import { fail } from './failure.js';
import { clientOf } from './limits/limits.js';
import type { CheckLocal } from './server/local-only.js';
import type { Account } from './limits/memory.js';
import { answerBrowser } from '../api-docs/front-page.js';
import { addProbes } from './server/probes.js';
import type { Probes } from './server/probes.js';
import { createPost } from './post.js';
import type { PostOptions } from './post.js';
import { addQueues } from './queues.js';
import { addReference } from '../api-docs/reference.js';
import { countUnsent, limitStall } from './server/unsent.js';

export interface AppOptions extends PostOptions {
  gate: Gate;
  /** Undefined: requests from everywhere are accepted. */
  checkLocal?: CheckLocal | undefined;
  probes: Probes;
}

export function createApp(options: AppOptions): Koa {
  const { broker, gate, log, maxBatch, memory, checkLocal, limits, probes } = options;
  const app = new Koa();
  const router = new Router({ strict: true, sensitive: true });
  const admit = createAdmit(gate, limits);
  addProbes(router, probes);
  addQueues(router, broker, admit, memory);
  addReference(router, { version: broker.version, maxBatch, ceilings: ceilings(broker.queues.settings) });
  const answerPost = createPost(options, admit);

  /** @returns the account of the client; that of its machine where the client is not known */
  const accountOf = (ctx: Context): Account =>
    (ctx.state.account as Account | undefined) ?? memory.of(clientOf(ctx.req.socket));

  /** Requests other than POST / count for the machine that they come from. */
  const answerOther = async (ctx: Context, next: Next): Promise<void> => {
    const account = accountOf(ctx);
    account.take('requests', REQUEST_BYTES);
    try {
      await next();
    } finally {
      account.give('requests', REQUEST_BYTES);
    }
  };

  // POST / is the hot path: it is handled here and goes through no other middleware
  app.use(async (ctx: Context, next: Next) => {
    try {
      checkLocal?.(ctx.req);
      if (ctx.req.url !== '/' && pathOf(ctx) !== '/') await answerOther(ctx, next);
      else if (ctx.req.method === 'POST') await answerPost(ctx);
      else if (!answerBrowser(ctx, broker.version)) throw methodNotAllowed(ctx, 'POST');
    } catch (error) {
      if (await limits?.throttle(error)) ctx.res.shouldKeepAlive = false;
      const failure = fail(ctx, error, log);
      if (failure && failure.msgType === undefined && ctx.req.method === 'POST')
        broker.observer?.refused(failure.reason);
    }
    limitStall(ctx.res);
    countUnsent(ctx.res, ctx.req.socket, accountOf(ctx));
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
  // Koa reports here what failed outside the try above: a bug, or a client that disconnected, which is not an error
  app.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') log.warn({ error }, 'a reply could not be written');
  });
  return app;
}

/** Koa's path, which also knows request targets in absolute form. */
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
