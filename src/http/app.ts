// The Koa application: the steps that a request goes through, in order, and the one place where any error becomes a reply.
import Router from '@koa/router';
import Koa from 'koa';
import type { Context, Next } from 'koa';
import type { Logger } from 'pino';
import type { Gate } from '../access/gate.js';
import { LIGHT_CHARACTERS, REQUEST_BYTES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import type { Broker } from '../messages/message-type.js';
import { answerBatch } from '../messages/batch-order.js';
import { answer } from '../messages/dispatch.js';
import { isBatch } from '../messages/json-text.js';
import { ceilings } from '../queue/own-settings.js';
import { createAdmit } from './admission.js';
import { traceparentOf } from '../observe/tracing.js';
import { together } from './batch.js';
import { memoryOf, readBody } from './body.js';
import { HttpClient } from './client.js';
import type { ClientLimits } from './client.js';
import { fail } from './failure.js';
import { clientOf, nameOf } from './limits/limits.js';
import type { Limits } from './limits/limits.js';
import type { CheckLocal } from './server/local-only.js';
import { LoopTurns } from './limits/loop-turns.js';
import type { Account, Memory } from './limits/memory.js';
import { answerBrowser } from '../api-docs/front-page.js';
import { addProbes } from './server/probes.js';
import type { Probes } from './server/probes.js';
import { addQueues } from './queues.js';
import { addReference } from '../api-docs/reference.js';
import { reply } from './reply.js';
import type { Undos } from './undos.js';
import { countUnsent, limitStall } from './server/unsent.js';
import type { Waits } from './limits/waits.js';

export interface AppOptions {
  broker: Broker;
  gate: Gate;
  log: Logger;
  maxBodyBytes: number;
  maxBatch: number;
  memory: Memory;
  waits: Waits;
  maxReplyBytes: number;
  /** Undefined: requests from everywhere are accepted. */
  checkLocal?: CheckLocal | undefined;
  /** Undefined: there are none. */
  limits?: Limits | undefined;
  probes: Probes;
  undos: Undos;
}

export function createApp(options: AppOptions): Koa {
  const { broker, gate, log, maxBodyBytes, maxBatch, memory, checkLocal, limits, probes, undos } = options;
  const clientLimits: ClientLimits = {
    ...options,
    turns: new LoopTurns(),
    maxMessageBytes: maxBodyBytes,
    count: limits?.countAddress,
    countBatch: limits?.countBatch,
  };
  const app = new Koa();
  const router = new Router({ strict: true, sensitive: true });
  const admit = createAdmit(gate, limits);
  addProbes(router, probes);
  addQueues(router, broker, admit, memory);
  addReference(router, { version: broker.version, maxBatch, ceilings: ceilings(broker.queues.settings) });
  const answerPost = async (ctx: Context): Promise<void> => {
    const admission = admit(ctx.req);
    const access = admission instanceof Promise ? await admission : admission;
    const account = memory.of(nameOf(access, ctx.req.socket));
    account.take('requests', REQUEST_BYTES);
    ctx.state.account = account;
    try {
      const text = await readBody(ctx.req, maxBodyBytes, account);
      try {
        await answerText(text, new HttpClient(ctx.req.socket, access, account, clientLimits), ctx);
      } finally {
        account.give('requests', memoryOf(text));
      }
    } finally {
      account.give('requests', REQUEST_BYTES);
    }
  };

  const answerText = async (text: string, client: HttpClient, ctx: Context): Promise<void> => {
    client.log = log;
    client.res = ctx.res;
    client.traceparent = traceparentOf(ctx.req.headers.traceparent);
    try {
      limits?.admitText(text);
      if (text.length > LIGHT_CHARACTERS || isBatch(text)) await client.turn();
      if (isBatch(text)) {
        const answers = await answerBatch(text, broker, client, maxBatch);
        const { code, text: all, headers } = together(answers, ctx.req, log, broker.observer);
        replyOrUndo(client, undos, ctx, code, all, headers);
      } else replyOrUndo(client, undos, ctx, 200, await answer(text, broker, client), client.headers);
    } catch (error) {
      client.undo(undos); // the reply is the error alone
      throw error;
    } finally {
      client.release();
    }
  };

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

/** Writes the reply; if the client has disconnected, what was done for it alone is undone instead. */
function replyOrUndo(client: HttpClient, undos: Undos, ...answered: Parameters<typeof reply>): void {
  const [ctx] = answered;
  if (client.isGone) {
    ctx.respond = false;
    ctx.res.destroy();
    client.undo(undos);
  } else {
    reply(...answered);
    client.answered(ctx.res, undos);
  }
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
