// A worker inside the test's own process, on a free loopback port and with key names of its own, over a real Redis.
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { loadConfig } from '../src/config/config.js';
import type { Config } from '../src/config/config.js';
import { startWorker } from '../src/worker.js';
import { sharedRedis } from './shared-redis.js';
import { testKey } from './test-key.js';

export interface Reply {
  status: number;
  headers: Headers;
  /** The reply as it came. */
  text: string;
  json: Record<string, unknown>;
}

export interface TestBroker {
  readonly url: string;
  readonly config: Config;
  /** POSTs a request: an object as JSON, a string unchanged. */
  post(request: unknown, headers?: Record<string, string>): Promise<Reply>;
  stop(): Promise<void>;
}

/** A broker that runs elsewhere with default settings: tests that only check replies can use it. */
const ELSEWHERE = process.env.AIZUMI_TEST_BROKER;

/** @param env AIZUMI_* settings besides the defaults; AIZUMI_REDIS_URL is the shared Redis unless given */
export async function startBroker(env: Record<string, string> = {}): Promise<TestBroker> {
  const config = loadConfig({
    AIZUMI_PORT: '0',
    AIZUMI_REDIS_URL: (await sharedRedis()).url,
    AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
    ...env,
  });
  if (ELSEWHERE !== undefined) {
    if (Object.keys(env).length > 0)
      throw new Error(`this test needs a broker with settings of its own: not ${ELSEWHERE}`);
    return {
      url: ELSEWHERE,
      config,
      post: (request, headers) => post(ELSEWHERE, request, headers),
      stop: () => Promise.resolve(),
    };
  }
  const worker = await startWorker(config, config.redisUrl as string, Date.now(), pino({ level: 'silent' }));
  const url = `http://127.0.0.1:${worker.port}/`;
  await ready(url);
  return { url, config, post: (request, headers) => post(url, request, headers), stop: () => worker.stop() };
}

/** A second worker on the same keys. @param env settings of its own */
export const startBeside = ({ config }: TestBroker, env: Record<string, string> = {}): Promise<TestBroker> =>
  startBroker({ AIZUMI_KEY_PREFIX: config.keyPrefix, ...env });

/** POSTs a request to any broker. */
export async function post(url: string, request: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...testKey(), ...headers },
    body: typeof request === 'string' ? request : JSON.stringify(request),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: JSON.parse(text) as Record<string, unknown>,
  };
}

async function ready(url: string): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await fetch(`${url}readyz`)).ok) if (Date.now() > deadline) throw new Error(`${url} is not ready after 5 s`);
}
