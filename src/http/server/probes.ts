// Probes for orchestrators and load balancers. /livez fails if the worker is dead; /readyz also fails if Redis does not answer or
// the worker is stopping. As in Kubernetes' own API server, a check can be left out: /readyz?exclude=redis does not ask Redis.
import type Router from '@koa/router';
import { BrokerError } from '../../errors.js';
import { reply } from '../reply.js';

export interface Probes {
  /** Resolves when Redis answers; rejects when it does not. */
  ping: () => Promise<unknown>;
  isDraining: () => boolean;
}

const OK = '{"code":200,"status":"OK"}';

function badExclude(): BrokerError {
  const message = 'exclude must be redis';
  return new BrokerError('invalid_request', `GET /readyz: ${message}`, { details: [{ field: 'exclude', message }] });
}

export function addProbes(router: Router, { ping, isDraining }: Probes): void {
  router.get('/livez', (ctx) => {
    reply(ctx, 200, OK);
  });
  router.get('/readyz', async (ctx) => {
    if (isDraining()) throw new BrokerError('draining', 'this worker is stopping: use another', { retryAfterS: 1 });
    const { exclude } = ctx.query;
    if (exclude !== undefined && exclude !== 'redis') throw badExclude();
    if (exclude === undefined) await ping();
    reply(ctx, 200, OK);
  });
}
