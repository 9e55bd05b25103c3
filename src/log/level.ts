// SIGUSR2 switches the log level to debug, and the next SIGUSR2 back, in all processes of the broker.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import type { Logger } from 'pino';

/** SIGUSR1 is Node's own: it opens the debugger. */
const VERBOSE = 'debug';

interface Order {
  aizumiLogLevel: string;
}

/**
 * @returns the handler of the signal, which changes the level of `log`. In a forked worker it does nothing: the supervisor sends
 * its level to all workers, so that a signal to the whole process group does not switch them twice.
 */
export function levelSwitch(log: Logger): () => void {
  const usual = log.level;
  const other = usual === VERBOSE ? 'info' : VERBOSE;
  if (cluster.isWorker) {
    process.on('message', (message: unknown) => {
      if (isOrder(message)) log.level = message.aizumiLogLevel;
    });
    return () => undefined;
  }
  const order = (worker: Worker | undefined): unknown =>
    worker?.send({ aizumiLogLevel: log.level } satisfies Order, () => undefined);
  // a message sent before the worker listens for it would be lost
  cluster.on('listening', order);
  return () => {
    const level = log.level === usual ? other : usual;
    if (level === VERBOSE) log.level = level;
    log.info({ logLevel: level }, `the log level is now ${level}; SIGUSR2 changes it back`);
    log.level = level;
    Object.values(cluster.workers ?? {}).forEach(order);
  };
}

const isOrder = (message: unknown): message is Order =>
  typeof message === 'object' && message !== null && 'aizumiLogLevel' in message;
