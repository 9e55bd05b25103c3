// One Redis for all tests that do not damage it; each test uses keys of its own. Stopped by hooks.ts.
import { startRedisServer } from './redis-server.js';
import type { TestServer } from './redis-server.js';

let server: Promise<TestServer> | undefined;

export const sharedRedis = (): Promise<TestServer> => (server ??= startRedisServer());

export async function stopSharedRedis(): Promise<void> {
  const started = await server;
  server = undefined; // with --parallel a process runs one file after the other, and the hook after each
  await started?.stop();
}
