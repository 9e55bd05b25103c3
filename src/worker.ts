// One worker: redis → app → listen → drain. Holds no state; any number may share one Redis.
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import { createApp } from './http/app.js';
import { createHttpServer, drain, listen } from './http/server.js';
import { QUEUE_SCRIPTS, createQueues } from './queue/queues.js';
import { Waiting } from './queue/waiting.js';
import { DurableWrites } from './redis/durable-writes.js';
import { connectRedis, connectionAttempt, ping } from './redis/connect.js';
import { Invalidations } from './redis/invalidations.js';

export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

export interface Worker {
  readonly port: number;
  /** Finishes what is under way, then closes everything. */
  stop(): Promise<void>;
}

export async function startWorker(config: Config, redisUrl: string, startedAtMs: number, log: Logger): Promise<Worker> {
  const redis = connectRedis({ url: redisUrl, scripts: QUEUE_SCRIPTS, log });
  const durable = new DurableWrites(redis, {
    url: redisUrl,
    scripts: QUEUE_SCRIPTS,
    timeoutMs: config.durabilityTimeoutMs,
    nodes: config.replicationNodes,
    maxLagMs: config.replicaMaxLagMs,
    keyPrefix: config.keyPrefix,
    log,
  });
  const invalidations = new Invalidations(redis, { url: redisUrl, scripts: QUEUE_SCRIPTS, log });
  const queues = createQueues(redis, durable, config);
  const waiting = new Waiting(queues, invalidations);
  const closeRedis = (): void => {
    waiting.stop();
    invalidations.close();
    durable.close();
    redis.disconnect();
  };
  const traces =
    config.tracesUrl === undefined
      ? undefined
      : (await import('./traces/open-telemetry.js')).startTraces({
          url: config.tracesUrl,
          ratio: config.tracesRatio,
          version: VERSION,
          log,
        });
  let draining = false;
  const app = createApp({
    broker: {
      queues,
      waiting,
      durability: config.durability,
      id: config.brokerId,
      version: VERSION,
      startedAtMs,
      traces,
    },
    log,
    maxBodyBytes: config.maxBodyBytes,
    maxBatch: config.maxBatch,
    probes: { ping: () => ping(redis), isDraining: () => draining },
  });
  const server = createHttpServer(traces?.serve(app.callback()) ?? app.callback());
  // with Redis there, the first request is served; without it, a 503 is better than no answer
  await connectionAttempt(redis);
  const port = await listen(server, config.host, config.port).catch((error: unknown) => {
    closeRedis();
    throw error;
  });
  return {
    port,
    async stop() {
      draining = true;
      // in this order: those who wait are told that this worker takes no new connections
      const drained = drain(server);
      waiting.stop();
      await drained;
      closeRedis();
      await traces?.stop();
    },
  };
}
