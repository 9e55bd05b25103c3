// One run of the embedded server's program, from its start to its end, and the lines that it writes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ask } from './socket-ask.js';

/** What to run, and where its data and its socket are. */
export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly dir: string;
  readonly socketPath: string;
}

/** How a run ended: its exit code, the signal, or the error that prevented its start. */
export interface RunEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: Error;
}

export interface ServerRun {
  readonly pid: number | undefined;
  /** performance.now(), ms. */
  readonly startedAt: number;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<RunEnd>;
  /** The last lines that it wrote, oldest first. */
  readonly lastLines: readonly string[];
  kill(signal: NodeJS.Signals): void;
}

const KEPT_LINES = 10;
const POLL_MS = 10;
const PING_MS = 1000;

/** `<pid>:<role> <day> <month> <year> <time> <level> <text>`; # is the level of warnings. */
const LOG_LINE = /^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ ([.*#-]) (.*)$/;
/** Lines of every start and end, some at the level of warnings. (It needs no password: only this user can open the socket.) */
const ROUTINE =
  /oO0OoO0OoO0Oo|version=|^Configuration loaded|^Server initialized|^Running mode|^monotonic clock|^User requested shutdown|now ready to exit|does not require authentication/;

/** Starts the server in a session of its own, so that Ctrl+C in the terminal reaches only aizumi, which drains first. */
export function runServer({ program, args }: ServerCommand, log: Logger): ServerRun {
  const startedAt = performance.now();
  // Its files hold messages: only this user may read them, even in a folder that others may enter.
  const umask = process.umask(0o077);
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  process.umask(umask);

  const lastLines: string[] = [];
  const keep = (line: string): void => {
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
  };
  createInterface(child.stdout).on('line', (line) => {
    const [, level, text = line] = LOG_LINE.exec(line) ?? [];
    const routine = ROUTINE.test(text);
    if (!routine) keep(text);
    if (level === '#' && !routine) log.warn(`redis: ${text}`);
    else log.debug(`redis: ${text}`);
  });
  createInterface(child.stderr).on('line', (line) => {
    keep(line);
    if (line !== '') log.warn(`redis: ${line}`);
  });

  const ended = new Promise<RunEnd>((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error });
      else log.error({ err: error }, 'cannot signal the Redis server');
    });
    child.once('exit', (code, signal) => {
      // its last lines are read by 'close', which a child of the server (a rewrite of the file) can delay
      void Promise.race([once(child, 'close'), delay(100)]).then(() => resolve({ code, signal }));
    });
  });
  return { pid: child.pid, startedAt, ended, lastLines, kill: (signal) => void child.kill(signal) };
}

/** @returns undefined once the server answers PING, which it does when it has loaded its data; or how it ended before that */
export async function untilReady(run: ServerRun, socketPath: string): Promise<RunEnd | undefined> {
  let end: RunEnd | undefined;
  void run.ended.then((result) => (end = result));
  for (;;) {
    const answer = await ask(socketPath, 'PING', PING_MS);
    if (end) return end;
    if (answer.status === 'replied' && answer.reply === '+PONG') return undefined;
    await delay(POLL_MS);
  }
}

/** Explains why a server did not start, with the last lines that it wrote and with advice. */
export function explainFailedStart({ program, dir }: ServerCommand, run: ServerRun, end: RunEnd): string {
  if (end.error) return `cannot start ${program}: ${end.error.message}`;
  const lines = run.lastLines.filter((line) => line !== '' && !line.includes('overcommit_memory'));
  const how = end.signal === null ? `ended with code ${end.code}` : `was ended by ${end.signal}`;
  return [
    `${program} ${how} before it was ready; its last lines:`,
    ...lines.map((line) => `  ${line}`),
    adviceFor(lines.join('\n'), dir),
  ].join('\n');
}

function adviceFor(lines: string, dir: string): string {
  if (/no space left|disk quota/i.test(lines)) return `Free space on the disk of ${dir}, then start again.`;
  if (/permission denied|read-only file system|operation not permitted/i.test(lines)) {
    return `Let this user read and write everything in ${dir}, or set AIZUMI_DATA_DIR to another folder.`;
  }
  if (/RDB format version|unknown rdb|can't handle rdb/i.test(lines)) {
    return `A newer server wrote ${dir}: set AIZUMI_REDIS_SERVER to one at least as new, or AIZUMI_DATA_DIR to another folder.`;
  }
  if (/append ?only file|appendonly|AOF|bad file format/i.test(lines)) {
    return (
      `The data in ${dir} is damaged: restore a backup of the folder; or copy it, and then run redis-check-aof --fix ` +
      `${dir}/appendonlydir/appendonly.aof.manifest, which cuts off everything after the damage.`
    );
  }
  return (
    'Correct what these lines report, or set AIZUMI_REDIS_SERVER to another server program ' +
    'or AIZUMI_DATA_DIR to another folder.'
  );
}
