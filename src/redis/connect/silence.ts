// Decides when a connection without replies counts as lost. A node that pauses writes for a planned fail-over does not reply
// either, although it is alive; so a PING on another connection is tried first.
import type { Redis } from 'ioredis';
import { socketOf, unansweredOn } from '../private-api.js';

export interface SilenceOptions {
  /** Without a reply for this long the connection is lost, unless the node answers on another one, ms. */
  silenceMs: number;
  /** Without a reply for this long the connection is lost in any case, ms. */
  longestMs: number;
  /** Whether the node answers on another connection. Never rejects. */
  isAlive: () => Promise<boolean>;
}

const TICKS = 8;

/** Ends a lost connection, which ioredis then reopens. This replaces ioredis's socketTimeout. */
export function watchSilence(redis: Redis, { silenceMs, longestMs, isAlive }: SilenceOptions): void {
  const tickMs = silenceMs / TICKS;
  const longestTicks = Math.ceil(longestMs / tickMs);
  // ticks rather than times: after this process was held up, its timers run before it reads the replies that have arrived
  let silent = 0;
  let socket: ReturnType<typeof socketOf> | undefined;
  let bytesRead = 0;
  let asked: { answers: boolean } | undefined; // set once during each silence
  const tick = (): void => {
    const owes = (redis.status === 'ready' || redis.status === 'connect') && unansweredOn(redis) > 0;
    if (!owes || socketOf(redis) !== socket || socket.bytesRead !== bytesRead) {
      socket = redis.status === 'connecting' || redis.status === 'wait' ? undefined : socketOf(redis);
      bytesRead = socket?.bytesRead ?? 0;
      silent = 0;
      asked = undefined;
      return;
    }
    silent += 1;
    if (silent >= TICKS / 2 && asked === undefined) {
      const question = { answers: false };
      asked = question;
      void isAlive().then((isTrue) => (question.answers = isTrue));
    }
    if (silent >= longestTicks || (silent >= TICKS && !asked?.answers))
      socketOf(redis).destroy(new Error(`Redis has not answered for ${Math.round(silent * tickMs)} ms`));
  };
  const timer = setInterval(tick, tickMs).unref();
  redis.once('end', () => clearInterval(timer));
}
