// The log: pino's JSON lines. What repeats is told once a second and counted, and no secret or payload is in it.
import { pino } from 'pino';
import type { DestinationStream, Logger, LoggerOptions } from 'pino';
import { limitRepeats } from './repeats.js';

/** Log text kept while it cannot be written, bytes; what comes after that is lost. */
const MOST_UNWRITTEN_BYTES = 1_048_576;

/** In whoever's words it is. */
const SECRETS: readonly [RegExp, string][] = [
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@]*@/gi, '$1…@'],
  [/([?&](?:password|username)=)[^\s&]*/gi, '$1…'],
  [/\b(Bearer|Basic)\s+[^\s,]+/gi, '$1 …'],
  // Redis repeats the arguments of a command that it does not know
  [/(with args beginning with:)[^\n]*/g, '$1 …'],
];

/** Without passwords in URLs, credentials, and what others repeat of a request. */
export const withoutSecrets = (text: string): string =>
  SECRETS.reduce((cleaned, [secret, instead]) => cleaned.replace(secret, instead), text);

const textForLog = (text: unknown): unknown => (typeof text === 'string' ? withoutSecrets(text) : text);

/** What a log may say of an error: ioredis hangs the command on it, and with it somebody's payload. */
function errorForLog(error: unknown): unknown {
  if (!(error instanceof Error)) return textForLog(error);
  const { name, message, stack = '', code } = error as Error & { code?: string };
  // V8 repeats what is no JSON
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
    // nobody logs these, and nobody shall by mistake
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
