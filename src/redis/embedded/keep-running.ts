// Under the embedded server: keeps one server running from its first start to stop(), whatever ends it in between.
import type { Logger } from 'pino';
import { explainFailedStart, runServer, untilReady } from './server-process.js';
import type { ServerCommand, ServerRun } from './server-process.js';

const STOP_MS = 5000;
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 5000;
/** A server that lived this long had recovered: its next death counts as a first one. */
const STEADY_MS = 10_000;

/**
 * Starts the server and starts it again whenever it dies: at once, or after a growing pause if it keeps dying.
 * Resolves when it is ready, with what stops it for good. Rejects where it does not get ready the first time.
 */
export async function keepRunning(command: ServerCommand, log: Logger): Promise<() => Promise<void>> {
  let run = runServer(command, log);
  let stopping = false;
  let deaths = 0;
  let wake = (): void => undefined;
  const isStopping = (): boolean => stopping; // changes during an await, which the compiler does not know

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function supervise(): Promise<void> {
    for (;;) {
      const { error, ...end } = await run.ended;
      if (isStopping()) return;
      if (performance.now() - run.startedAt >= STEADY_MS) deaths = 0;
      const pauseMs = deaths === 0 ? 0 : Math.min(FIRST_BACK_OFF_MS * 2 ** (deaths - 1), LONGEST_BACK_OFF_MS);
      deaths += 1;
      log.error(
        { ...end, redisPid: run.pid, err: error, lastLines: run.lastLines, pauseMs },
        'Redis died: starting it again',
      );
      await pause(pauseMs);
      if (isStopping()) return;
      run = runServer(command, log);
      reportReady(run, command.socketPath, log);
    }
  }

  // This process may end without stop(), by an uncaught error: that must not leave the server behind.
  const atExit = (): void => {
    run.kill('SIGTERM');
  };
  process.once('exit', atExit);
  await firstReady(command, run).catch((error: unknown) => {
    process.off('exit', atExit);
    throw error;
  });
  const supervised = supervise();

  return async function stop(): Promise<void> {
    stopping = true;
    wake();
    run.kill('SIGTERM');
    const timer = setTimeout(() => {
      log.error({ redisPid: run.pid }, `Redis does not stop within ${STOP_MS / 1000} s: killing it`);
      run.kill('SIGKILL');
    }, STOP_MS);
    await supervised;
    clearTimeout(timer);
    process.off('exit', atExit);
  };
}

async function firstReady(command: ServerCommand, run: ServerRun): Promise<void> {
  const end = await untilReady(run, command.socketPath).catch(async (error: unknown) => {
    run.kill('SIGKILL');
    await run.ended;
    throw error;
  });
  if (end) throw new Error(explainFailedStart(command, run, end), { cause: end.error });
}

function reportReady(run: ServerRun, socketPath: string, log: Logger): void {
  untilReady(run, socketPath).then(
    (end) => {
      if (!end)
        log.info(
          { redisPid: run.pid, afterMs: Math.round(performance.now() - run.startedAt) },
          'the Redis server runs again',
        );
    },
    (error: unknown) => log.error({ err: error }, 'Redis was started again and cannot be reached'),
  );
}
