// The broker's program: reads the settings, starts an embedded Redis if there is none, starts the workers, and stops them all.
import cluster from 'node:cluster';
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import { AccessError } from '../access/credentials.js';
import { tryGate } from '../access/gate.js';
import { authority } from '../names/authority.js';
import { ConfigError, loadConfig } from '../config/config.js';
import type { Config } from '../config/config.js';
import { createLog } from '../log/log.js';
import { levelSwitch } from '../log/level.js';
import { serveMetrics } from '../observe/metrics/scrape-server.js';
import { answerSupervisor, createWorkersMetrics } from '../observe/metrics/workers.js';
import { describeAddress } from '../config/redis-url.js';
import { startEmbeddedRedis } from '../redis/embedded/embedded.js';
import { listenForSignals } from './signals.js';
import { fromSupervisor, superviseWorkers } from '../supervisor.js';
import { VERSION, startWorker } from '../worker.js';

/** sysexits.h: a configuration error, after which supervisors need not restart the process. */
const EX_CONFIG = 78;
interface Stoppable {
  stop(): Promise<void>;
}

async function runBroker(config: Config, log: Logger): Promise<Stoppable> {
  const startedAtMs = Date.now();
  const embedded =
    config.redisUrl === undefined
      ? await startEmbeddedRedis({
          dataDir: config.dataDir,
          log,
          ...(config.redisServer && { program: config.redisServer }),
        })
      : undefined;
  const embeddedUrl = embedded ? `unix://${pathToFileURL(embedded.socketPath).pathname}` : '';
  try {
    const workers = await startWorkers(config, startedAtMs, embeddedUrl, log);
    log.info(
      { version: VERSION, ...effective(config), port: workers.port },
      `aizumi listens on ${config.tlsCertFile === undefined ? 'http' : 'https'}://${authority(config.host, workers.port)}`,
    );
    return {
      async stop() {
        await workers.stop();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Starts the workers, and the metrics server if it is configured. */
async function startWorkers(
  config: Config,
  startedAtMs: number,
  embeddedUrl: string,
  log: Logger,
): Promise<Stoppable & { port: number }> {
  const { metricsHost, metricsPort } = config;
  const alone =
    config.workers === 1 ? await startWorker(config, config.redisUrl ?? embeddedUrl, startedAtMs, log) : undefined;
  const workers = alone ?? (await superviseWorkers(config, startedAtMs, embeddedUrl, log));
  if (metricsPort === undefined) return workers;
  const read = alone?.readMetrics ?? createWorkersMetrics();
  const metrics = await serveMetrics(metricsHost, metricsPort, read).catch(async (error: unknown) => {
    await workers.stop();
    throw error;
  });
  log.info({ metricsPort: metrics.port }, `metrics are at http://${authority(metricsHost, metrics.port)}/metrics`);
  return {
    port: workers.port,
    async stop() {
      await workers.stop();
      metrics.stop();
    },
  };
}

async function runForkedWorker(config: Config, log: Logger): Promise<Stoppable> {
  const { startedAtMs, embeddedUrl } = fromSupervisor();
  const worker = await startWorker(config, config.redisUrl ?? embeddedUrl, startedAtMs, log);
  if (worker.readMetrics) answerSupervisor(worker.readMetrics);
  return worker;
}

/** The effective settings, for the log; URLs are without the parts that may be secret, such as a query. */
function effective(config: Config): Partial<Config> {
  const { redisUrl, jwtJwksUrl } = config;
  return {
    ...config,
    ...(redisUrl !== undefined && { redisUrl: describeAddress(redisUrl) }),
    ...(jwtJwksUrl !== undefined && { jwtJwksUrl: jwtJwksUrl.replace(/[?#].*$/s, '?…') }),
  };
}

/**
 * SIGUSR2 changes the log level, every other signal stops the broker. A signal during the start takes effect when the start has
 * succeeded or failed, so that nothing is left half started.
 */
function handleSignals(starting: Promise<Stoppable>, log: Logger): { asked: boolean } {
  const switchLevel = levelSwitch(log);
  const state = { asked: false };
  const stop = async (signal: string): Promise<void> => {
    if (cluster.isPrimary) log.info({ signal }, 'aizumi stops: it finishes the requests under way');
    const running = await starting.catch(() => undefined); // main() logs the error, unless this signal caused it
    await running?.stop();
    process.exit(0);
  };
  const once = (signal: string): void => {
    if (state.asked) return;
    state.asked = true;
    stop(signal).catch((error: unknown) => {
      log.error({ error }, 'aizumi could not stop cleanly');
      process.exit(1);
    });
  };
  listenForSignals((signal) => (signal === 'SIGUSR2' ? switchLevel() : once(signal)));
  return state;
}

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLog(config.logLevel);
  // checked before anything is started that would have to be stopped
  if (cluster.isPrimary) await tryGate(config, log);
  const starting = cluster.isPrimary ? runBroker(config, log) : runForkedWorker(config, log);
  const stop = handleSignals(starting, log);
  try {
    await starting;
  } catch (error) {
    if (stop.asked) return;
    log.fatal(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}

main().catch((error: unknown) => {
  const isConfiguration = error instanceof ConfigError || error instanceof AccessError;
  console.error(isConfiguration ? `aizumi cannot start:\n${error.message}` : error);
  process.exit(isConfiguration ? EX_CONFIG : 1);
});
