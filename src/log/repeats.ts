// Throttles repeated log lines: an outage under load writes some lines a second, not one for each request.
import type { LogFn, Logger } from 'pino';

/** Identical lines written before throttling starts; it is reset after QUIET_MS without one. */
const AT_FIRST = 20;
const QUIET_MS = 10_000;
/** While lines are throttled, the latest is written this often. */
const REPORT_MS = 1_000;
/** Different messages that are remembered. */
const MOST_MESSAGES = 1_000;
/** pino's level numbers. Lines below a warning are not throttled: an operator has asked for them. */
const WARN = 40;
const FATAL = 60;

/** Lines at any level with the same value of this property count as identical, whatever their message. It is not written. */
export const REPEATS_AS = Symbol('repeats as');

interface Repeated {
  written: number;
  lastMs: number;
  /** Lines that were not written since the last that was. */
  suppressed: number;
  latest: Line | undefined;
}

type Arguments = Parameters<LogFn>;
interface Line {
  log: Logger;
  args: Arguments;
  method: LogFn;
}

type Hook = (this: Logger, args: Arguments, method: LogFn, level: number) => void;

/**
 * A hook for pino. The first of identical warnings and errors, and of lines with {@link REPEATS_AS}, are written as they come.
 * After that the latest is written once a second, with the number of lines that it stands for in `repeated`.
 */
export function limitRepeats(): Hook {
  const known = new Map<string, Repeated>();

  return function hook(args, method, level) {
    const words = kindOf(args) ?? (level < WARN ? undefined : wordsOf(args));
    if (level >= FATAL || words === undefined) {
      method.apply(this, args);
      return;
    }
    const nowMs = performance.now();
    const line = lineFor(known, words, nowMs);
    if (line.written < AT_FIRST) {
      line.written++;
      method.apply(this, args);
      return;
    }
    if (line.suppressed++ === 0) setTimeout(report, REPORT_MS, line).unref();
    line.latest = { log: this, args, method };
  };
}

function kindOf([first]: Arguments): string | undefined {
  return typeof first === 'object' ? (first as { [REPEATS_AS]?: string } | null)?.[REPEATS_AS] : undefined;
}

/** The message of a line: lines with the same message count as identical. */
function wordsOf(args: Arguments): string | undefined {
  const [first, second] = args as unknown[];
  return typeof first === 'string' ? first : typeof second === 'string' ? second : undefined;
}

function lineFor(known: Map<string, Repeated>, words: string, nowMs: number): Repeated {
  let line = known.get(words);
  if (line === undefined || nowMs - line.lastMs > QUIET_MS) {
    if (known.size >= MOST_MESSAGES) known.clear();
    line = { written: 0, lastMs: nowMs, suppressed: 0, latest: undefined };
    known.set(words, line);
  }
  line.lastMs = nowMs;
  return line;
}

function report(line: Repeated): void {
  const { latest, suppressed: repeated } = line;
  line.suppressed = 0;
  line.latest = undefined;
  if (latest === undefined) return;
  const { log, args, method } = latest;
  const [first, ...rest] = args as unknown[];
  const reported =
    typeof first === 'string' ? [{ repeated }, first, ...rest] : [{ ...(first as object), repeated }, ...rest];
  method.apply(log, reported as unknown as Arguments);
}
