// The log: JSON lines written by pino. Repeated lines are throttled, and secrets and payloads are removed.
import { pino } from 'pino';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';
import { limitRepeats } from './repeats.js';

/** Log text kept while it cannot be written, bytes; what comes after that is lost. */
const MOST_UNWRITTEN_BYTES = 1_048_576;

/** Patterns of secrets in any text, also in error messages of libraries. */
const SECRETS: readonly [RegExp, string][] = [
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@]*@/gi, '$1…@'],
  [/([?&](?:password|username)=)[^\s&]*/gi, '$1…'],
  [/\b(Bearer|Basic)\s+[^\s,]+/gi, '$1 …'],
  // Redis repeats the arguments of a command that it does not know
  [/(with args beginning with:)[^\n]*/g, '$1 …'],
];

/** Removes passwords in URLs, credentials, and parts of requests that Redis repeats in its errors. */
export const withoutSecrets = (text: string): string =>
  SECRETS.reduce((cleaned, [secret, instead]) => cleaned.replace(secret, instead), text);

const textForLog = (text: unknown): unknown => (typeof text === 'string' ? withoutSecrets(text) : text);

/** The fields of an error that may be logged: ioredis attaches the command, which may have a client's payload. */
function errorForLog(error: unknown): unknown {
  if (!(error instanceof Error)) return textForLog(error);
  const { name, message, stack = '', code } = error as Error & { code?: string };
  // V8 quotes the invalid JSON in its message
  const isRepeating = name === 'SyntaxError';
  return {
    name,
    message: isRepeating ? '…' : withoutSecrets(message),
    code,
    stack: isRepeating ? stack.slice(stack.indexOf('\n    at ')) : withoutSecrets(stack),
  };
}

/** @param destination other than standard output, for tests */
export function createLog(level: string, destination?: DestinationStream): Logger {
  const options: LoggerOptions = {
    level,
    base: { pid: process.pid },
    serializers: { error: errorForLog, err: errorForLog, cause: textForLog, reason: textForLog },
    // no code logs these; this removes them should one do so by mistake
    redact: { paths: ['payload', 'authorization', '*.payload', '*.authorization', '*.password'], censor: '…' },
    hooks: { logMethod: limitRepeats() },
  };
  return pino(options, destination ?? standardOutput());
}

/** Standard output that cannot be written (its terminal was closed, its disk is full) is no reason to end without draining. */
function standardOutput(): DestinationStream {
  const output = pino.destination({ fd: process.stdout.fd, sync: true, maxLength: MOST_UNWRITTEN_BYTES });
  output.on('error', () => undefined);
  return output;
}
