// Checks FIFO order of first deliveries per queue.
import { groupBy, overlaps } from './history.js';
import type { Attempt, Delivery, FaultWindow, Receive } from './history.js';

/**
 * Messages that were certainly first delivered after a message of the same queue that was sent after their acknowledgement.
 * A RECV whose reply was lost may have been the real first delivery of a message, so each such RECV excuses one.
 */
export function outOfOrder(
  sends: Map<number, Attempt[]>,
  seen: Map<number, Delivery[]>,
  receives: Receive[],
  failovers: FaultWindow[],
): { outOfOrder: number[]; excused: number } {
  const firsts = [...seen].flatMap(([message, received]) => {
    const sent = sends.get(message) ?? [];
    const [first] = received.toSorted((a, b) => a.askedMs - b.askedMs);
    if (sent.length === 0 || first === undefined) return [];
    const acknowledged = sent.filter(({ answer }) => answer === 'done').map(({ answeredMs }) => answeredMs);
    return [{ ...first, sentMs: Math.min(...sent.map(({ askedMs }) => askedMs)), ackMs: Math.min(...acknowledged) }];
  });
  const found = { outOfOrder: [] as number[], excused: 0 };
  for (const [queue, inQueue] of groupBy(firsts, (first) => first.queue)) {
    let cutOff = receives.filter((receive) => receive.queue === queue && receive.answer === 'unknown').length;
    const byAnswer = inQueue.toSorted((a, b) => a.answeredMs - b.answeredMs);
    let newest: (typeof byAnswer)[number] | undefined;
    let next = 0;
    for (const first of inQueue.toSorted((a, b) => a.askedMs - b.askedMs)) {
      for (; (byAnswer[next]?.answeredMs ?? Infinity) < first.askedMs; next++) {
        const earlier = byAnswer[next] as typeof first;
        if (newest === undefined || earlier.sentMs > newest.sentMs) newest = earlier;
      }
      if (newest === undefined || newest.sentMs <= first.ackMs) continue;
      const fromMs = newest.askedMs;
      if (failovers.some((fault) => overlaps(fault, fromMs, first.answeredMs))) found.excused += 1;
      else if (cutOff > 0) cutOff -= 1;
      else found.outOfOrder.push(first.message);
    }
  }
  return found;
}
