// Probes for orchestrators: /livez tells a dead worker, /readyz an absent Redis.
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
    await ping();
    reply(ctx, 200, OK);
  });
}
