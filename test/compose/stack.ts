// The stack of docker-compose.yml, on the Docker engine that `docker` uses.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../../harness/until.js';

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PORT = 18_080;
export const LEASE_MS = 3_000;
/** A project name of its own, so that a stack in use is not touched. */
const PROJECT = 'aizumi-test';

/** An existing image; if not set, it is built. */
const { AIZUMI_TEST_IMAGE } = process.env;

const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AIZUMI|COMPOSE|STACK)_/.test(name))),
  STACK_IMAGE: AIZUMI_TEST_IMAGE ?? 'aizumi:test',
  STACK_PORT: String(PORT),
  STACK_NET: '172.30.88',
  AIZUMI_VISIBILITY_TIMEOUT_MS: String(LEASE_MS),
};

/** The environment of docker compose for blocks of the documents, which name no project and no port. */
export const shellEnv = { ...env, COMPOSE_PROJECT_NAME: PROJECT };

/** The balancer. */
export const url = `http://127.0.0.1:${PORT}/`;

export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', args, { cwd: ROOT, env, maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim();
}

export const compose = (...args: string[]): Promise<string> => docker('compose', '-p', PROJECT, ...args);

/** Builds the image unless there is one, and removes what an interrupted run has left. */
export async function build(): Promise<void> {
  await compose('--profile', '*', 'down', '--volumes', '--timeout', '1');
  if (AIZUMI_TEST_IMAGE === undefined) await compose('build', 'aizumi');
}

/** Starts everything; resolves when all of it is healthy. The clients of these tests then use the stack's first key. */
export async function up(...profile: string[]): Promise<void> {
  await compose(...profile, 'up', '--detach', '--no-build', '--wait');
  process.env.AIZUMI_TEST_KEY = await compose('run', '--rm', '--no-TTY', 'keys', 'cat', '/first-key/key');
}

export async function down(): Promise<void> {
  await compose('--profile', '*', 'down', '--volumes');
}

/** Ids of the running containers of a service. */
export async function containers(service: string): Promise<string[]> {
  return (await compose('ps', '--quiet', service)).split('\n').filter(Boolean);
}

export async function container(service: string): Promise<string> {
  return (await compose('ps', '--all', '--quiet', service)).split('\n')[0]!;
}

export async function healthy(id: string, withinMs = 30_000): Promise<void> {
  const state = (): Promise<string> => docker('inspect', '--format', '{{.State.Health.Status}}', id);
  await until(`${id} is healthy`, async () => (await state()) === 'healthy', withinMs);
}

export const REDIS_NODES = ['redis-1', 'redis-2', 'redis-3'];

/** Sends one command to a Redis node or a Sentinel with the client in its container. */
export const redis = (service: string, ...args: string[]): Promise<string> => {
  const cli = service.startsWith('sentinel') ? ['redis-cli', '-p', '26379'] : ['sh', '/opt/aizumi/cli.sh'];
  return compose('exec', '--no-TTY', service, ...cli, ...args);
};

/** The service that most Sentinels name as the primary. */
export async function primary(): Promise<string> {
  const named = await Promise.all(
    ['sentinel-1', 'sentinel-2', 'sentinel-3'].map((sentinel) =>
      redis(sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster').catch(() => ''),
    ),
  );
  const found = REDIS_NODES.find(
    (_, i) => named.filter((reply) => reply.startsWith(`172.30.88.1${i + 1}\n`)).length > 1,
  );
  if (found === undefined) throw new Error(`the Sentinels do not agree on a primary: ${named.join(' | ')}`);
  return found;
}

/** Resolves when the primary has both its replicas in sync, and both may be elected. */
export async function whole(withinMs = 60_000): Promise<void> {
  const isWhole = async (): Promise<boolean> => {
    const leader = await primary();
    const others = await Promise.all(
      REDIS_NODES.filter((node) => node !== leader).map((node) => redis(node, 'INFO', 'replication')),
    );
    return others.every((info) => info.includes('master_link_status:up') && info.includes('slave_priority:100'));
  };
  await until('the stack is complete', () => isWhole().catch(() => false), withinMs);
}
