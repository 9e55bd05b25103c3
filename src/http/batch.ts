// The replies to a batch → one reply: each as it would have come alone, and a status that tells whether all are 200.
import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BrokerError } from '../errors.js';
import type { Observer } from '../observer.js';
import { errorBody, failureHeaders, failureOf } from './failure.js';

const MULTI_STATUS = 207;

let lastTurn: Promise<unknown> = Promise.resolve();

/**
 * Resolves in a turn of the event loop in which no other batch begins: what Redis answered to one is dealt with before the
 * next is taken apart, and other requests come in between. Without it 64 batches of 100 at once cost twice as much per request,
 * half of it collecting garbage.
 */
const nextTurn = (): Promise<unknown> => (lastTurn = lastTurn.then(() => setImmediate()));

/** The whole reply: JSON text, its status and headers. */
export interface BatchReply {
  code: number;
  text: string;
  headers: Record<string, string | number>;
}

/**
 * A JSON array, in the order of the promises that `start` returns, once all are settled.
 * @throws BrokerError what `start` throws: nothing was done
 */
export async function together(
  start: () => Promise<string>[],
  req: IncomingMessage,
  log: Logger,
  observer: Observer | undefined,
): Promise<BatchReply> {
  await nextTurn();
  const settled = await Promise.allSettled(start());
  const failures: BrokerError[] = [];
  const texts = settled.map((answer) => {
    if (answer.status === 'fulfilled') return answer.value;
    const failure = failureOf(answer.reason);
    failures.push(failure);
    if (failure.msgType === undefined) observer?.refused(failure.reason);
    return errorBody(failure);
  });
  const code = failures.length === 0 ? 200 : MULTI_STATUS;
  return { code, text: `[${texts.join(',')}]`, headers: failureHeaders(failures, req, log) };
}
