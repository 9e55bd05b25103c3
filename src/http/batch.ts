// The replies to a batch → one reply: each as it would have come alone, and a status that tells whether all are 200.
import { setImmediate } from 'node:timers/promises';
import type { Context } from 'koa';
import type { Logger } from 'pino';
import { errorBody, failureHeaders, failureOf } from './failure.js';
import { reply } from './reply.js';

const MULTI_STATUS = 207;

let lastTurn: Promise<unknown> = Promise.resolve();

/**
 * Resolves in a turn of the event loop in which no other batch begins: what Redis answered to one is dealt with before the
 * next is taken apart, and other requests come in between. Without it 64 batches of 100 at once cost twice as much per request,
 * half of it collecting garbage.
 */
const nextTurn = (): Promise<unknown> => (lastTurn = lastTurn.then(() => setImmediate()));

/**
 * Replies with a JSON array, in the order of the promises that `start` returns, once all are settled.
 * @throws BrokerError what `start` throws: nothing was done
 */
export async function replyToBatch(ctx: Context, start: () => Promise<string>[], log: Logger): Promise<void> {
  await nextTurn();
  const settled = await Promise.allSettled(start());
  const failures = settled.flatMap((answer) => (answer.status === 'rejected' ? failureOf(answer.reason) : []));
  let nextFailure = 0;
  const texts = settled.map((answer) =>
    answer.status === 'fulfilled' ? answer.value : errorBody(failures[nextFailure++] as (typeof failures)[0]),
  );
  reply(ctx, failures.length === 0 ? 200 : MULTI_STATUS, `[${texts.join(',')}]`, failureHeaders(failures, log));
}
