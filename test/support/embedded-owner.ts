// A process that owns an embedded Redis, for tests to kill: node --import tsx embedded-owner.ts DATA_DIR [PROGRAM].
// Prints one line of JSON: the socket's path, or why there is none. Then: SIGTERM stops it cleanly, SIGHUP ends it without a stop,
// SIGINT does nothing, as in a broker that drains.
import { pino } from 'pino';
import { startEmbeddedRedis } from '../../src/redis/embedded/embedded.js';

const [dataDir = '', program] = process.argv.slice(2);
const log = pino({ level: 'silent' });
try {
  const redis = await startEmbeddedRedis({ dataDir, log, ...(program && { program }) });
  process.once('SIGTERM', () => void redis.stop());
  process.once('SIGHUP', () => process.exit(1));
  process.on('SIGINT', () => undefined);
  // the tests themselves were ended
  process.stdin.once('end', () => void redis.stop()).resume();
  process.stdin.unref();
  console.log(JSON.stringify({ socketPath: redis.socketPath }));
} catch (error) {
  console.log(JSON.stringify({ error: (error as Error).message }));
}
