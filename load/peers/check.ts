// What every system under measurement is held to: each message that was sent is received once, unchanged, from its queue.
import { payloadOf } from '../../harness/requests.js';

export const QUEUES = 100;

export interface Message {
  /** 0 … QUEUES − 1 */
  queue: number;
  /** 100 bytes, different in every message. */
  payload: string;
}

/** @param firstId from takeIds(), so that no two messages of a run are alike */
export function messages(count: number, firstId: number): Message[] {
  return Array.from({ length: count }, (_, i) => ({ queue: i % QUEUES, payload: payloadOf(firstId + i) }));
}

/** Throws an error that names the first fault of each kind, when what was received is not what was sent. */
export function check(system: string, sent: Message[], received: Message[]): void {
  const missing = new Map(sent.map(({ queue, payload }) => [payload, queue]));
  const known = new Map(missing);
  const faults = new Map<string, string>();
  const fault = (kind: string, what: string): void => {
    if (!faults.has(kind)) faults.set(kind, `${kind}: ${what}`);
  };
  for (const { queue, payload } of received) {
    const home = known.get(payload);
    if (home === undefined) fault('altered or never sent', payload);
    else if (!missing.delete(payload)) fault('received twice', payload);
    else if (home !== queue) fault('from another queue', `${payload}: ${queue}, not ${home}`);
  }
  const [lost] = missing.keys();
  if (lost !== undefined) fault('lost', `${missing.size} messages, the first ${lost}`);
  if (faults.size > 0) throw new Error(`${system}: ${[...faults.values()].join('; ')}`);
}
