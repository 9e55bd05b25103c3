// One worker: redis → app → listen → drain. Holds no state; any number may share one Redis.
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import { createQueueMetrics } from './metrics/queue-metrics.js';
import { createWorkerMetrics } from './metrics/worker-metrics.js';
import type { ReadMetrics } from './metrics/worker-metrics.js';
import { within } from './metrics/within.js';
import { BusiestQueues } from './queue/busiest.js';
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

/** Redis counts as away when it does not answer a scrape by then. */
const SCRAPE_PING_MS = 1_000;

export interface Worker {
  readonly port: number;
  /** Undefined where nothing is counted. */
  readonly readMetrics: ReadMetrics | undefined;
  /** Finishes what is under way, then closes everything. */
  stop(): Promise<void>;
}

export async function startWorker(config: Config, redisUrl: string, startedAtMs: number, log: Logger): Promise<Worker> {
  const metrics = config.metricsPort === undefined ? undefined : createWorkerMetrics();
  const observer = metrics?.observer;
  const redis = connectRedis({ url: redisUrl, scripts: QUEUE_SCRIPTS, log, observer });
  const durable = new DurableWrites(redis, {
    url: redisUrl,
    scripts: QUEUE_SCRIPTS,
    timeoutMs: config.durabilityTimeoutMs,
    nodes: config.replicationNodes,
    maxLagMs: config.replicaMaxLagMs,
    keyPrefix: config.keyPrefix,
    log,
    observer,
  });
  const invalidations = new Invalidations(redis, { url: redisUrl, scripts: QUEUE_SCRIPTS, log, observer });
  const queues = createQueues(redis, durable, config, observer);
  const waiting = new Waiting(queues, invalidations);
  const closeRedis = (): void => {
    waiting.stop();
    invalidations.close();
    durable.close();
    redis.disconnect();
  };
  let draining = false;
  const app = createApp({
    broker: {
      queues,
      waiting,
      durability: config.durability,
      id: config.brokerId,
      version: VERSION,
      startedAtMs,
      observer,
    },
    log,
    maxBodyBytes: config.maxBodyBytes,
    maxBatch: config.maxBatch,
    probes: { ping: () => ping(redis), isDraining: () => draining },
  });
  const server = createHttpServer(app.callback());
  // with Redis there, the first request is served; without it, a 503 is better than no answer
  await connectionAttempt(redis);
  const port = await listen(server, config.host, config.port).catch((error: unknown) => {
    closeRedis();
    throw error;
  });
  return {
    port,
    readMetrics: metrics?.reader({
      version: VERSION,
      waiters: () => waiting.count,
      redisAnswers: async () =>
        (await within(
          SCRAPE_PING_MS,
          ping(redis).then(() => true),
        )) ?? false,
      replication: () => durable.replication(),
      queues: createQueueMetrics(new BusiestQueues(queues, config.metricsQueues)),
    }),
    async stop() {
      draining = true;
      // in this order: those who wait are told that this worker takes no new connections
      const drained = drain(server);
      waiting.stop();
      await drained;
      closeRedis();
    },
  };
}
