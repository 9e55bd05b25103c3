// Receivers whose connection breaks after a RECV, and who repeat it with the same attempt_id, often through another worker. The
// reply on the first connection is never read: only the reply to the repetition counts as received.
import { setTimeout as pause } from 'node:timers/promises';
import { httpRequest, openConnection } from '../harness/connection.js';
import { recvRequest } from '../harness/requests.js';
import type { History } from './history.js';
import type { Random } from '../harness/random.js';

export interface BreakOff {
  urls: readonly string[];
  queue: number;
  /** Unique in the run. */
  attemptId: string;
  random: Random;
  history: History;
}

/** No message is sent to this address, so a RECV from it waits. */
const EMPTY = 99;
const WAIT_MS = 8_000;
/** Time after the request at which the connection is reset, or the repetition is sent. */
const BREAK_MS = 8;
const REPEAT_MS = 40;

/** @returns the RECV, which may have been repeated */
export const repeatable = (queue: number, attemptId: string): object => ({
  ...recvRequest(queue),
  attempt_id: attemptId,
  details: true,
});

/**
 * Sends a RECV on a connection of its own, and breaks it before the reply is read: a single RECV, soon; or one in a batch or a
 * pipeline whose replies are delayed by a RECV from an empty queue, and then only after the repetition.
 * @param askAgain the repetition
 */
export async function breakOff<T>(
  { urls, queue, attemptId, random, history }: BreakOff,
  askAgain: (sinceMs: number) => Promise<T>,
): Promise<T> {
  const recv = repeatable(queue, attemptId);
  const wait = { ...recvRequest(EMPTY), wait_ms: WAIT_MS };
  const bodies: Record<string, object[]> = { alone: [recv], batch: [[recv, wait]], pipelined: [wait, recv] };
  const way = random.pick(Object.keys(bodies));
  const worker = random.between(0, urls.length - 1);
  const breakMs = random.between(0, BREAK_MS);
  const repeatMs = random.between(0, REPEAT_MS);
  // a worker that is being restarted refuses the connection: then only the repetition counts
  const connection = await openConnection(urls[worker]!).catch(() => undefined);
  const askedMs = performance.now();
  for (const body of bodies[way]!) connection?.write(httpRequest(JSON.stringify(body)));
  const reset = (): void => {
    connection?.reset();
    history.receives.push({ queue, answer: 'unknown', askedMs, answeredMs: performance.now(), worker });
  };
  if (way === 'alone') {
    await pause(breakMs);
    reset();
    return askAgain(askedMs);
  }
  await pause(repeatMs);
  try {
    const answer = await askAgain(askedMs);
    await pause(breakMs);
    return answer;
  } finally {
    reset();
  }
}
