// Requests at a fixed rate, however fast the replies are: a SEND, its RECV and its FREE in turn on each connection.
import { setTimeout as pause } from 'node:timers/promises';
import { openClient } from '../../harness/keep-alive-client.js';
import type { Outcome } from '../../harness/keep-alive-client.js';
import { freeRequest, recvRequest, sendRequest } from '../../harness/requests.js';

export interface SteadyLoad {
  /** Resolves with the number of requests, and the outcomes of those that were not answered 200. */
  stop(): Promise<{ requests: number; seconds: number; failed: string[] }>;
}

const CONNECTIONS = 50;

/**
 * @param firstQueue the queue of the first connection; each has a queue of its own
 * @param fields more fields of each SEND
 */
export function startSteadyLoad(url: string, perSecond: number, firstQueue: number, fields: object = {}): SteadyLoad {
  const everyMs = (1_000 * CONNECTIONS) / perSecond;
  const failed: string[] = [];
  let requests = 0;
  let stopped = false;
  const startMs = performance.now();

  async function drive(queue: number): Promise<void> {
    const client = openClient(url, 5_000);
    const cycle = [{ ...sendRequest(queue, 1), ...fields }, recvRequest(queue), freeRequest(queue, 1)];
    let dueMs = startMs + (everyMs * (queue - firstQueue)) / CONNECTIONS;
    for (let i = 0; !stopped || i % cycle.length > 0; i++) {
      await pause(Math.max(0, dueMs - performance.now()));
      dueMs += everyMs;
      const outcome = await client.post(cycle[i % cycle.length]!);
      requests += 1;
      if (outcome.kind !== 'replied' || outcome.status !== 200) failed.push(described(outcome));
    }
    client.close();
  }

  const running = Array.from({ length: CONNECTIONS }, (_, i) => drive(firstQueue + i));
  return {
    async stop() {
      stopped = true;
      await Promise.all(running);
      return { requests, seconds: (performance.now() - startMs) / 1000, failed };
    },
  };
}

function described(outcome: Outcome): string {
  if (outcome.kind === 'replied')
    return `${outcome.status} ${outcome.json.error?.reason}: ${outcome.json.error?.message}`;
  return outcome.kind === 'broken' ? `broken: ${outcome.error.message}` : 'refused';
}
