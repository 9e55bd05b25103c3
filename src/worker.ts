// One worker: connects to Redis, builds the app, listens, and drains when it stops. It is stateless: many may share one Redis.
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ENVELOPE_BYTES } from './config/limits.js';
import { OPEN_GATE, openGate } from './access/gate.js';
import type { Config } from './config/config.js';
import { createQueueMetrics } from './observe/metrics/queue-metrics.js';
import { createWorkerMetrics } from './observe/metrics/worker-metrics.js';
import type { ReadMetrics } from './observe/metrics/worker-metrics.js';
import { TopQueues } from './queue/top-queues.js';
import { createApp } from './http/app.js';
import { createLimits } from './http/limits/limits.js';
import { createCheckLocal } from './http/server/local-only.js';
import { createProbeApp } from './http/server/probe-server.js';
import { Memory } from './http/limits/memory.js';
import { createHttpServer, drain, listen } from './http/server/server.js';
import { startTls } from './http/server/tls.js';
import { Undos } from './http/undos.js';
import { Waits } from './http/limits/waits.js';
import { defaultMemoryBytes } from './config/memory-limit.js';
import { names } from './names/host-names.js';
import { QUEUE_SCRIPTS, createQueues } from './queue/queues.js';
import { keepRegistered } from './queue/register.js';
import { Waiting } from './queue/waiting/waiting.js';
import { DurableWrites } from './redis/replication/durable-writes.js';
import { connectRedis, connectionAttempt, ping, unansweredCommands } from './redis/connect/connect.js';
import { dataFormatFault } from './redis/connect/data-format.js';
import { Invalidations } from './redis/connect/invalidations.js';
import { accessOf } from './redis/connect/login.js';
import { missingRights } from './redis/connect/rights.js';
import { withTimeout } from './timing/timeout.js';

export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Part of AIZUMI_DURABILITY_TIMEOUT_MS for which a request may wait for a connection to Redis; the rest is for the reply. */
const KEEP_SHARE = 0.85;
/**
 * The worker's memory for clients is never less than this many times AIZUMI_MAX_BODY_BYTES: one client may use half of it, and a
 * request needs several times the size of its body until it is answered.
 */
const LARGEST_REQUEST_COPIES = 8;
/** If Redis does not reply within this time, a scrape of the metrics reports it as away. */
const SCRAPE_PING_MS = 1_000;

export interface Worker {
  readonly port: number;
  /** Undefined without metrics. */
  readonly readMetrics: ReadMetrics | undefined;
  /** Finishes the requests under way, then closes everything. */
  stop(): Promise<void>;
}

export async function startWorker(config: Config, redisUrl: string, startedAtMs: number, log: Logger): Promise<Worker> {
  names.reportTo(log);
  const gate = await openGate(config, log);
  const metrics = config.metricsPort === undefined ? undefined : createWorkerMetrics();
  const observer = metrics?.observer;
  const access = accessOf(config);
  const keepMs = Math.round(config.durabilityTimeoutMs * KEEP_SHARE);
  const redis = connectRedis({ url: redisUrl, access, scripts: QUEUE_SCRIPTS, keepMs, log, observer });
  const durable = new DurableWrites(redis, {
    url: redisUrl,
    access,
    scripts: QUEUE_SCRIPTS,
    timeoutMs: config.durabilityTimeoutMs,
    keepMs,
    nodes: config.replicationNodes,
    maxLagMs: config.replicaMaxLagMs,
    keyPrefix: config.keyPrefix,
    log,
    observer,
  });
  const invalidations = new Invalidations(redis, {
    url: redisUrl,
    access,
    scripts: QUEUE_SCRIPTS,
    keepMs,
    log,
    observer,
  });
  const queues = createQueues(redis, durable, config, observer);
  const stopRegister = keepRegistered(queues, log);
  const waiting = new Waiting(queues, invalidations);
  const limits = createLimits(config, () => unansweredCommands(redis) + queues.light.waiting, log, observer);
  const closeRedis = (): void => {
    limits?.stop();
    stopRegister();
    waiting.stop();
    invalidations.close();
    durable.close();
    redis.disconnect();
  };
  const traces =
    config.tracesUrl === undefined
      ? undefined
      : (await import('./observe/traces/open-telemetry.js')).startTraces({
          url: config.tracesUrl,
          ratio: config.tracesRatio,
          version: VERSION,
          log,
        });
  let draining = false;
  const probes = { ping: sharing(() => ping(redis)), isDraining: () => draining };
  const undos = new Undos(log);
  const memory = memoryFor(config, log);
  const app = createApp({
    broker: {
      queues,
      waiting,
      durability: config.durability,
      id: config.brokerId,
      version: VERSION,
      startedAtMs,
      observer,
      traces,
    },
    gate,
    log,
    maxBodyBytes: config.maxBodyBytes,
    maxBatch: config.maxBatch,
    memory,
    waits: new Waits({
      connection: config.maxConnectionWaitingRecvs,
      client: config.maxClientWaitingRecvs,
      worker: config.maxWaitingRecvs,
    }),
    maxReplyBytes: Math.max(config.maxReplyBytes, config.maxBodyBytes + ENVELOPE_BYTES),
    checkLocal: gate === OPEN_GATE && !config.allowAnonymous ? createCheckLocal() : undefined,
    limits,
    probes,
    undos,
  });
  /**
   * Passes while Redis is away.
   * @throws Error if aizumi must not use this Redis: rights are missing, or the data has a newer format
   */
  const checkRedis = async (): Promise<void> => {
    const missing = await missingRights(redis, QUEUE_SCRIPTS, config.keyPrefix).catch(() => []);
    if (missing.length > 0)
      throw new Error(
        `Redis's ACL does not let aizumi's user run all commands that it needs: add ${missing.join(' ')} (docs/tls.md)`,
      );
    const fault = await dataFormatFault(redis, config.keyPrefix).catch(() => undefined);
    if (fault !== undefined) throw new Error(fault);
  };
  const open = async (): Promise<{ server: Server; probeServer: Server | undefined; port: number }> => {
    const tls = await startTls(config, log);
    const server = createHttpServer(traces?.serve(app.callback()) ?? app.callback(), {
      keepAliveMs: config.keepAliveMs,
      maxConnections: config.maxConnections,
      memory,
      tls,
      observer,
    });
    // wait for Redis, so that the first request succeeds; if it is away, listen nevertheless: a 503 is better than no reply
    await connectionAttempt(redis);
    await checkRedis();
    const probeServer =
      config.probePort === undefined ? undefined : createHttpServer(createProbeApp(probes, log).callback(), config);
    if (probeServer) await listen(probeServer, config.host, config.probePort as number, 'AIZUMI_PROBE_PORT');
    return { server, probeServer, port: await listen(server, config.host, config.port) };
  };
  const started = await open().catch((error: unknown) => {
    gate.close();
    closeRedis();
    throw error;
  });
  const { server, probeServer, port } = started;
  redis.on('ready', () => void checkRedis().catch((error: unknown) => log.error((error as Error).message)));
  return {
    port,
    readMetrics: metrics?.reader({
      version: VERSION,
      waiters: () => waiting.count,
      memory: () => memory,
      keyUses: () => gate.lastUses(),
      redisAnswers: async () =>
        (await withTimeout(
          SCRAPE_PING_MS,
          ping(redis).then(() => true),
        )) ?? false,
      replication: () => durable.replication(),
      queues: createQueueMetrics(new TopQueues(queues, config.metricsQueues)),
    }),
    async stop() {
      draining = true;
      if (config.drainDelayMs > 0) await pause(config.drainDelayMs);
      // the drain begins first, so that the replies to waiting RECVs have Connection: close
      const drained = drain(server);
      waiting.stop();
      await drained;
      await undos.settled();
      gate.close();
      probeServer?.close();
      probeServer?.closeAllConnections();
      closeRedis();
      await traces?.stop();
    },
  };
}

/** @returns a function whose concurrent calls share one call of `ask` */
function sharing<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () => (asked ??= ask().finally(() => (asked = undefined)));
}

const memoryFor = ({ maxBytesInFlight, maxBodyBytes, workers }: Config, log: Logger): Memory =>
  new Memory(Math.max(maxBytesInFlight ?? defaultMemoryBytes(workers), LARGEST_REQUEST_COPIES * maxBodyBytes), log);
