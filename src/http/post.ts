// POST /: a request's bytes → text → its reply, or a batch's replies → bytes.
import type { Context } from 'koa';
import type { Logger } from 'pino';
import { LIGHT_CHARACTERS, REQUEST_BYTES } from '../config/limits.js';
import { answerBatch } from '../messages/batch-order.js';
import { answer } from '../messages/dispatch.js';
import { isBatch } from '../messages/json-text.js';
import type { Broker } from '../messages/message-type.js';
import { traceparentOf } from '../observe/tracing.js';
import type { Admit } from './admission.js';
import { together } from './batch.js';
import { memoryOf, readBody } from './body.js';
import { HttpClient } from './client.js';
import type { ClientLimits } from './client.js';
import { nameOf } from './limits/limits.js';
import type { Limits } from './limits/limits.js';
import { LoopTurns } from './limits/loop-turns.js';
import type { Memory } from './limits/memory.js';
import type { Waits } from './limits/waits.js';
import { reply } from './reply.js';
import type { Undos } from './undos.js';

export interface PostOptions {
  broker: Broker;
  log: Logger;
  maxBodyBytes: number;
  maxBatch: number;
  maxReplyBytes: number;
  memory: Memory;
  waits: Waits;
  /** Undefined: there are none. */
  limits?: Limits | undefined;
  undos: Undos;
}

/** @returns the handler of POST / */
export function createPost(options: PostOptions, admit: Admit): (ctx: Context) => Promise<void> {
  const { broker, log, maxBodyBytes, maxBatch, memory, limits, undos } = options;
  const clientLimits: ClientLimits = {
    ...options,
    turns: new LoopTurns(),
    maxMessageBytes: maxBodyBytes,
    count: limits?.countAddress,
    countBatch: limits?.countBatch,
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

  return async (ctx) => {
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
