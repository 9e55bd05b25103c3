// GET /queues and GET /queues/:address: the queues as JSON, for people, scripts and autoscalers.
import type Router from '@koa/router';
import type { Gate } from '../access/gate.js';
import type { Broker } from '../messages/fields.js';
import { listQueues, showQueue } from '../messages/queues.js';
import { reply } from './reply.js';

export function addQueues(router: Router, broker: Broker, gate: Gate): void {
  router.get('/queues', async (ctx) => {
    const access = await gate.admit(ctx.req.headers.authorization);
    reply(ctx, 200, await listQueues({ ...ctx.query }, broker, access));
  });
  router.get('/queues/:address', async (ctx) => {
    const access = await gate.admit(ctx.req.headers.authorization);
    reply(ctx, 200, await showQueue(ctx.params.address ?? '', broker, access));
  });
}
