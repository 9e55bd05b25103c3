// Receivers whose connection breaks behind a RECV, and who ask again with the same attempt_id, often through another worker.
// What the first connection would have answered is never read: only what the repetition answers was told to anybody.
import { setTimeout as pause } from 'node:timers/promises';
import { httpRequest, openConnection } from '../harness/connection.js';
import { recvRequest } from '../harness/requests.js';
import type { History } from './history.js';
import type { Random } from '../harness/random.js';

export interface BreakOff {
  urls: readonly string[];
  queue: number;
  /** Unlike any other of the run. */
  attemptId: string;
  random: Random;
  history: History;
}

/** Nobody sends to this address: who receives from it waits. */
const EMPTY = 99;
const WAIT_MS = 8_000;
/** So long after it was asked, the connection is reset, or the repetition is on its way. */
const BREAK_MS = 8;
const REPEAT_MS = 40;

/** @returns the RECV that may be a repetition */
export const repeatable = (queue: number, attemptId: string): object => ({
  ...recvRequest(queue),
  attempt_id: attemptId,
  details: true,
});

/**
 * Asks on a connection of its own, and breaks it before the answer is read: alone and soon; or in a batch, or on a pipelined
 * connection, whose answers a RECV of an empty queue holds up, and then only behind the repetition.
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
  // a worker that is just being restarted refuses it: then only the repetition asks
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
