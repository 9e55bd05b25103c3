// The probes on a port of their own (AIZUMI_PROBE_PORT), in plain HTTP: for orchestrators that have no certificate.
import Router from '@koa/router';
import Koa from 'koa';
import type { Logger } from 'pino';
import { BrokerError } from '../../errors.js';
import { fail } from '../failure.js';
import { addProbes } from './probes.js';
import type { Probes } from './probes.js';

export function createProbeApp(probes: Probes, log: Logger): Koa {
  const app = new Koa();
  const router = new Router({ strict: true, sensitive: true });
  addProbes(router, probes);
  app.use(async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      fail(ctx, error, log);
    }
  });
  app.use(router.routes());
  app.use(() => {
    throw new BrokerError('not_found', 'on this port there are GET /livez and GET /readyz alone');
  });
  app.on('error', () => undefined); // a prober that disconnected
  return app;
}
