// An outage under load is told in some lines a second, not in one for each request.
import type { LogFn, Logger } from 'pino';

/** Lines in the same words that are written one by one before the rest is only counted, and how soon that is forgotten. */
const AT_FIRST = 20;
const QUIET_MS = 10_000;
/** What was counted is told so often. */
const TELL_MS = 1_000;
/** Different words remembered. */
const MOST_WORDS = 1_000;
/** pino's numbers. What is less than a warning repeats because somebody has asked for it. */
const WARN = 40;
const FATAL = 60;

/** A line at any level that has it repeats those that have the same, whatever its words are. It is not written. */
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
 * A hook for pino. Of warnings and errors in the same words, and of others that ask for it, the first are written as they come, then one each second: the
 * latest, with how many it stands for in `repeated`.
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
    if (line.suppressed++ === 0) setTimeout(tell, TELL_MS, line).unref();
    line.latest = { log: this, args, method };
  };
}

function kindOf([first]: Arguments): string | undefined {
  return typeof first === 'object' ? (first as { [REPEATS_AS]?: string } | null)?.[REPEATS_AS] : undefined;
}

/** The message that a line has: what is told apart by it. */
function wordsOf(args: Arguments): string | undefined {
  const [first, second] = args as unknown[];
  return typeof first === 'string' ? first : typeof second === 'string' ? second : undefined;
}

function lineFor(known: Map<string, Repeated>, words: string, nowMs: number): Repeated {
  let line = known.get(words);
  if (line === undefined || nowMs - line.lastMs > QUIET_MS) {
    if (known.size >= MOST_WORDS) known.clear();
    line = { written: 0, lastMs: nowMs, suppressed: 0, latest: undefined };
    known.set(words, line);
  }
  line.lastMs = nowMs;
  return line;
}

function tell(line: Repeated): void {
  const { latest, suppressed: repeated } = line;
  line.suppressed = 0;
  line.latest = undefined;
  if (latest === undefined) return;
  const { log, args, method } = latest;
  const [first, ...rest] = args as unknown[];
  const told =
    typeof first === 'string' ? [{ repeated }, first, ...rest] : [{ ...(first as object), repeated }, ...rest];
  method.apply(log, told as unknown as Arguments);
}
