// Probes for orchestrators and balancers: /livez tells a dead worker, /readyz an absent Redis or a worker that is to stop. As in Kubernetes'
// own API server, ?exclude= leaves out a check: /readyz?exclude=redis tells only the latter.
import type Router from '@koa/router';
import { BrokerError } from '../errors.js';
import { reply } from './reply.js';

export interface Probes {
  /** Resolves when Redis answers; rejects when it does not. */
  ping: () => Promise<unknown>;
  isDraining: () => boolean;
}

const OK = '{"code":200,"status":"OK"}';

export function addProbes(router: Router, { ping, isDraining }: Probes): void {
  router.get('/livez', (ctx) => {
    reply(ctx, 200, OK);
  });
  router.get('/readyz', async (ctx) => {
    if (isDraining()) throw new BrokerError('draining', 'this worker is stopping: use another', { retryAfterS: 1 });
    if (ctx.query.exclude !== 'redis') await ping();
    reply(ctx, 200, OK);
  });
}
