// Worker processes, each on a port that it keeps when it is restarted.
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { spawnBroker } from '../harness/process.js';
import type { BrokerProcess } from '../harness/process.js';
import { freePort } from '../harness/redis-server.js';

export interface ChaosWorker {
  readonly url: string;
  kill9(): Promise<void>;
  /** Starts it again; resolves when it listens. */
  restart(): Promise<void>;
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
  /** Signs of bugs in its log and standard error. */
  errors(): string[];
}

const CLOCK_JUMP = fileURLToPath(new URL('./clock-jump.mjs', import.meta.url));

export interface WorkersOptions {
  redisUrl: string;
  leaseMs: number;
  /** Preloads a module into every worker that makes its clock jump by hours every second. */
  jumpingClocks?: boolean;
  /** AIZUMI_DURABILITY_TIMEOUT_MS; default: that of the broker. */
  durabilityTimeoutMs?: number;
}

export async function startWorkers(count: number, options: WorkersOptions): Promise<ChaosWorker[]> {
  const { redisUrl, leaseMs, jumpingClocks, durabilityTimeoutMs } = options;
  const env: Record<string, string> = {
    ...(durabilityTimeoutMs !== undefined && { AIZUMI_DURABILITY_TIMEOUT_MS: String(durabilityTimeoutMs) }),
    AIZUMI_REDIS_URL: redisUrl,
    AIZUMI_KEY_PREFIX: `chaos${randomBytes(4).toString('hex')}`,
    AIZUMI_VISIBILITY_TIMEOUT_MS: String(leaseMs),
    AIZUMI_MAX_DELIVERIES: '1000',
    ...(jumpingClocks && { NODE_OPTIONS: `--import ${CLOCK_JUMP}` }),
  };
  return Promise.all(Array.from({ length: count }, () => startWorker(env)));
}

async function startWorker(env: Record<string, string>): Promise<ChaosWorker> {
  const port = await freePort();
  const lives: BrokerProcess[] = [];
  const current = (): BrokerProcess => lives.at(-1)!;
  const start = async (): Promise<void> => {
    lives.push(spawnBroker({ ...env, AIZUMI_PORT: String(port) }));
    await current().started();
  };
  await start();
  return {
    url: `http://127.0.0.1:${port}/`,
    kill9: () => current().kill9(),
    restart: start,
    pause: () => current().signal('SIGSTOP'),
    resume: () => current().signal('SIGCONT'),
    async stop() {
      current().signal('SIGCONT');
      await current().stop();
    },
    errors: () =>
      lives.flatMap(({ log, stderr }) => [
        ...log.filter(({ code }) => code === 500).map(({ error }) => `a 500: ${(error as Error).message}`),
        ...stderr.split('\n').filter((line) => line !== '' && !line.startsWith('    at ')),
      ]),
  };
}
