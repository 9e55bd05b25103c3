// Keeps the embedded server running from its first start to stop(), and restarts it whenever it dies.
import type { Logger } from 'pino';
import { explainFailedStart, runServer, untilReady } from './server-process.js';
import type { ServerCommand, ServerRun } from './server-process.js';

const STOP_MS = 5000;
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 5000;
/** A server that lived this long had recovered: its next death counts as the first. */
const STEADY_MS = 10_000;

/**
 * Starts the server and restarts it whenever it dies: at once the first time, after a growing pause if it keeps dying.
 * @returns a function that stops it for good; once the server is ready
 * @throws Error if it does not become ready at its first start
 */
export async function keepRunning(command: ServerCommand, log: Logger): Promise<() => Promise<void>> {
  let run = runServer(command, log);
  let stopping = false;
  let deaths = 0;
  let wake = (): void => undefined;
  // a function, because the compiler assumes that a variable does not change during an await
  const isStopping = (): boolean => stopping;

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
        'the Redis server died: restarting it',
      );
      await pause(pauseMs);
      if (isStopping()) return;
      run = runServer(command, log);
      reportReady(run, command.socketPath, log);
    }
  }

  // An uncaught error may end this process without stop(), which must not leave the server behind.
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
      log.error({ redisPid: run.pid }, `the Redis server did not stop within ${STOP_MS / 1000} s: killing it`);
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
          'the Redis server is running again',
        );
    },
    (error: unknown) => log.error({ err: error }, 'the Redis server was restarted and cannot be reached'),
  );
}
