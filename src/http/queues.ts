// GET /queues and GET /queues/:address: the queues as JSON, for people, scripts and autoscalers.
import type Router from '@koa/router';
import type { Broker } from '../messages/fields.js';
import { listQueues, showQueue } from '../messages/queues.js';
import type { Admit } from './admission.js';
import { nameOf } from './limits.js';
import type { Memory } from './memory.js';
import { reply } from './reply.js';

export function addQueues(router: Router, broker: Broker, admit: Admit, memory: Memory): void {
  router.get('/queues', async (ctx) => {
    const access = await admit(ctx.req);
    ctx.state.account = memory.of(nameOf(access, ctx.req.socket));
    reply(ctx, 200, await listQueues({ ...ctx.query }, broker, access));
  });
  router.get('/queues/:address', async (ctx) => {
    const access = await admit(ctx.req);
    reply(ctx, 200, await showQueue(ctx.params.address ?? '', broker, access));
  });
}
