// SIGUSR2: the log says everything, and with the next SIGUSR2 as much as before; in all processes of the broker.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import type { Logger } from 'pino';

/** SIGUSR1 is Node's own: it opens the debugger. */
const EVERYTHING = 'debug';

interface Order {
  aizumiLogLevel: string;
}

/**
 * @returns what changes the level of `log` at the signal; nothing in a forked worker, which gets it too when it is sent to the group:
 * there its supervisor's order does, so that all have the same
 */
export function levelSwitch(log: Logger): () => void {
  const usual = log.level;
  const other = usual === EVERYTHING ? 'info' : EVERYTHING;
  if (cluster.isWorker) {
    process.on('message', (message: unknown) => {
      if (isOrder(message)) log.level = message.aizumiLogLevel;
    });
    return () => undefined;
  }
  const order = (worker: Worker | undefined): unknown =>
    worker?.send({ aizumiLogLevel: log.level } satisfies Order, () => undefined);
  // not before: a message that nobody listens for yet is lost
  cluster.on('listening', order);
  return () => {
    const level = log.level === usual ? other : usual;
    if (level === EVERYTHING) log.level = level;
    log.info({ logLevel: level }, `the log's level is ${level} now; SIGUSR2 changes it back`);
    log.level = level;
    Object.values(cluster.workers ?? {}).forEach(order);
  };
}

const isOrder = (message: unknown): message is Order =>
  typeof message === 'object' && message !== null && 'aizumiLogLevel' in message;
