// A broker as a user runs it: a process of its own, with its log; for tests that kill, stop and misconfigure it.
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { post } from './broker.js';
import type { Reply } from './broker.js';
import { until } from './until.js';

/** A line of pino's JSON. */
export interface LogLine {
  level: number;
  pid: number;
  msg: string;
  [field: string]: unknown;
}

export interface BrokerProcess {
  readonly pid: number;
  /** http://127.0.0.1:port/, once it has started. */
  readonly url: string;
  /** The log, of all its processes. */
  readonly log: readonly LogLine[];
  /** Its standard output and standard error together, in order. */
  readonly output: string;
  /** Its standard error only. */
  readonly stderr: string;
  /** Undefined while it runs; null if a signal ended it. */
  readonly exitCode: number | null | undefined;
  /** Resolves with the exit code when it has ended and its output has been read. */
  readonly exited: Promise<number | null>;
  /** Resolves with its start line; rejects with its output if it ends before. */
  started(): Promise<LogLine>;
  post(request: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Lines whose message contains `part`. */
  lines(part: string): LogLine[];
  /** Its forked workers that are running. */
  workerPids(): number[];
  signal(signal: NodeJS.Signals): void;
  /** Signals it and all its children at once, as Ctrl+C in a terminal does. */
  signalGroup(signal: NodeJS.Signals): void;
  /** Ends it like a crash; resolves when it has ended. Its embedded Redis keeps running. */
  kill9(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

interface RunningProcess {
  pid: number;
  ppid: number;
  command: string;
}

const START_MS = 20_000;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/**
 * The broker under test, from `ROOT`: its sources, or what was built from them, which starts in a third of the CPU (`npm run
 * mocha`). It can be replaced by another one, to see tests fail.
 */
const PROGRAM = process.env.AIZUMI_TEST_PROGRAM ?? 'src/index.ts';

const running = new Set<BrokerProcess>();
const dataDirs = new Set<string>();
process.on('exit', endAllProcesses);

/**
 * Starts a broker on a free port with these settings, without the AIZUMI_* settings of this process.
 * @param through a command that finally replaces itself with the command given as its arguments
 */
export function spawnBroker(env: Record<string, string>, through: string[] = []): BrokerProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('AIZUMI_'));
  if (env.AIZUMI_DATA_DIR !== undefined) dataDirs.add(env.AIZUMI_DATA_DIR);
  const [command, ...args] = [
    ...through,
    process.execPath,
    ...(PROGRAM.endsWith('.ts') ? ['--import', 'tsx'] : []),
    PROGRAM,
  ];
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...Object.fromEntries(inherited), AIZUMI_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own
  });
  const log: LogLine[] = [];
  let output = '';
  let stderr = '';
  let exitCode: number | null | undefined;

  createInterface(child.stdout).on('line', (line) => {
    output += `${line}\n`;
    if (line.startsWith('{')) log.push(JSON.parse(line));
  });
  child.stderr.on('data', (text: Buffer) => {
    output += text.toString();
    stderr += text.toString();
  });
  const exited = new Promise<number | null>((resolve) => {
    // 'close' waits for the end of the output, which an orphan can keep open: then 'exit' has to be enough
    child.once('exit', (code) => {
      exitCode = code;
      setTimeout(() => resolve(code), 1000).unref();
    });
    child.once('close', (code) => resolve(code));
  });

  const lines = (part: string): LogLine[] => log.filter(({ msg }) => msg.includes(part));
  const started = (): Promise<LogLine> =>
    until(
      `the broker has started; it wrote:\n${output}`,
      () => {
        const [line] = lines('aizumi listens on');
        if (line === undefined && exitCode !== undefined) throw new Error(`the broker ended: ${exitCode}\n${output}`);
        return line;
      },
      START_MS,
    );
  const broker: BrokerProcess = {
    pid: child.pid!,
    get url() {
      const [line] = lines('aizumi listens on');
      if (line === undefined) throw new Error('the broker has not started');
      return `http://127.0.0.1:${String(line.port)}/`;
    },
    log,
    get output() {
      return output;
    },
    get stderr() {
      return stderr;
    },
    get exitCode() {
      return exitCode;
    },
    exited,
    started,
    post: (request, headers) => post(broker.url, request, headers),
    lines,
    workerPids: () =>
      processes()
        .filter(({ ppid, command }) => ppid === broker.pid && command.includes(PROGRAM))
        .map(({ pid }) => pid),
    signal: (signal) => void child.kill(signal),
    signalGroup: (signal) => void process.kill(-child.pid!, signal),
    async kill9() {
      child.kill('SIGKILL');
      await exited;
    },
    async stop() {
      child.kill('SIGTERM');
      return exited;
    },
  };
  running.add(broker);
  void exited.then(() => running.delete(broker));
  return broker;
}

/** As spawnBroker, but resolves once it has started. */
export async function startBrokerProcess(env: Record<string, string>): Promise<BrokerProcess> {
  const broker = spawnBroker(env);
  await broker.started();
  return broker;
}

/** Process ids of Redis servers on this data folder, including their children; its path must be unique. */
export function redisPidsOn(dataDir: string): number[] {
  return processes()
    .filter(({ command }) => /(redis|valkey)/.test(command) && !command.includes(PROGRAM) && command.includes(dataDir))
    .map(({ pid }) => pid);
}

/** Ends all processes that tests started here and did not end themselves. */
export function endAllProcesses(): void {
  for (const broker of running) {
    try {
      broker.signalGroup('SIGKILL');
    } catch {
      // it has just ended by itself
    }
  }
  for (const dataDir of dataDirs) for (const pid of redisPidsOn(dataDir)) process.kill(pid, 'SIGKILL');
  dataDirs.clear();
}

function processes(): RunningProcess[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,command='], { encoding: 'utf8' });
  return table.split('\n').flatMap((line) => {
    const [, pid, ppid, command] = /^\s*(\d+)\s+(\d+)\s+[^Z\s]\S*\s+(.*)$/.exec(line) ?? [];
    return command === undefined ? [] : [{ pid: Number(pid), ppid: Number(ppid), command }];
  });
}
