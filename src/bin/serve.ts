// The broker: config → redis → workers → listen → drain.
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

/** sysexits.h: a configuration error; supervisors need not try again. */
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

/** With their metrics, if those are wanted. */
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

/** The settings as they are in force; of URLs only what is no secret, as a query may be. */
function effective(config: Config): Partial<Config> {
  const { redisUrl, jwtJwksUrl } = config;
  return {
    ...config,
    ...(redisUrl !== undefined && { redisUrl: describeAddress(redisUrl) }),
    ...(jwtJwksUrl !== undefined && { jwtJwksUrl: jwtJwksUrl.replace(/[?#].*$/s, '?…') }),
  };
}

/**
 * SIGUSR2 changes the log's level, every other signal stops the broker. One that comes during the start is obeyed when the start has
 * ended, either way: nothing is left half-started.
 */
function obeySignals(starting: Promise<Stoppable>, log: Logger): { asked: boolean } {
  const switchLevel = levelSwitch(log);
  const state = { asked: false };
  const stop = async (signal: string): Promise<void> => {
    if (cluster.isPrimary) log.info({ signal }, 'aizumi stops: it finishes what is under way');
    const running = await starting.catch(() => undefined); // main() tells of it, or the same signal was its cause
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
  // before there is anything to stop
  if (cluster.isPrimary) await tryGate(config, log);
  const starting = cluster.isPrimary ? runBroker(config, log) : runForkedWorker(config, log);
  const stop = obeySignals(starting, log);
  try {
    await starting;
  } catch (error) {
    if (stop.asked) return;
    log.fatal(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}

main().catch((error: unknown) => {
  const isOfSettings = error instanceof ConfigError || error instanceof AccessError;
  console.error(isOfSettings ? `aizumi cannot start:\n${error.message}` : error);
  process.exit(isOfSettings ? EX_CONFIG : 1);
});
