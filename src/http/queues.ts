// GET /queues and GET /queues/:address: the queues as JSON, for people, scripts and autoscalers.
import type Router from '@koa/router';
import type { Broker } from '../messages/fields.js';
import { listQueues, showQueue } from '../messages/queues.js';
import { clientOf } from './limits.js';
import type { Limits } from './limits.js';
import { reply } from './reply.js';

export function addQueues(router: Router, broker: Broker, limits?: Limits): void {
  if (limits)
    router.use('/queues', (ctx, next) => {
      limits.admit(clientOf(ctx.req.socket));
      return next();
    });
  router.get('/queues', async (ctx) => {
    reply(ctx, 200, await listQueues({ ...ctx.query }, broker));
  });
  router.get('/queues/:address', async (ctx) => {
    reply(ctx, 200, await showQueue(ctx.params.address ?? '', broker));
  });
}
