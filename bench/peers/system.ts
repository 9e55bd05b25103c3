// What every system under measurement has to do (start, send, receive with a lease or acknowledgement, stop), and what it is held to:
// each message that was sent is received once, unchanged, from its queue.
import { payloadOf } from '../../harness/requests.js';

export const QUEUES = 100;

/** How many send and receive at once, in every system. */
export const LANES = 64;

export interface Message {
  /** 0 … QUEUES − 1 */
  queue: number;
  /** 100 bytes, different in every message. */
  payload: string;
}

export type Durability = 'none' | 'fsync';

/** docs/peers.md explains what is the same work there and what is not, and what its durability really does. */
export interface System {
  name: string;
  /** Share of the messages that the others get: for what is slow. Default 1. */
  share?: number;
  /** Why it cannot be measured on this machine, with what to do about it; undefined if it can. */
  missing?: (durability: Durability) => string | undefined;
  start: (durability: Durability) => Promise<Running>;
}

export interface Running {
  /** Read from the running programs. */
  version: string;
  /** Kind of process (`HTTP server`, `library`, `data store`, `broker`) → its pid; CPU time counts with its descendants. */
  processes: Record<string, number>;
  /** Resolves when every message is acknowledged. */
  send(messages: Message[], lanes: number): Promise<void>;
  /** Where the client's own way to what sends would count: ms of each message, sent one after another. */
  timesOf?(messages: Message[]): Promise<number[]>;
  /** Receives and deletes this many messages; when it resolves none of them is leased any more. */
  receive(count: number): Promise<Message[]>;
  stop(): Promise<void>;
}

/** @returns ms from each message's way out to its acknowledgement; the next is sent after that */
export async function timed(messages: Message[], send: Running['send']): Promise<number[]> {
  const times: number[] = [];
  for (const message of messages) {
    const began = performance.now();
    await send([message], 1);
    times.push(performance.now() - began);
  }
  return times;
}

/** Runs `one` for every item, `lanes` at a time. */
export async function overLanes<T>(
  items: T[],
  lanes: number,
  one: (item: T, lane: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (_: unknown, number: number): Promise<void> => {
    while (next < items.length) await one(items[next++]!, number);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Takes `count` messages with `one`, from the queues in turn, as `messages()` fills them. */
export async function takeTurns(
  count: number,
  one: (queue: number, lane: number) => Promise<Message>,
): Promise<Message[]> {
  const taken: Message[] = [];
  const turns = Array.from({ length: count }, (_, i) => i % QUEUES);
  await overLanes(turns, LANES, async (queue, lane) => taken.push(await one(queue, lane)));
  return taken;
}

/** Collects what is pushed to us until `count` messages are done, or rejects. */
export function collector(count: number, withinMs = 20_000): { done: Promise<Message[]>; add: (m: Message) => void } {
  const taken: Message[] = [];
  let finish: (taken: Message[]) => void = () => undefined;
  const done = new Promise<Message[]>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${taken.length} of ${count} came in ${withinMs} ms`)), withinMs);
    finish = (all) => {
      clearTimeout(late);
      resolve(all);
    };
  });
  return {
    done,
    add(message) {
      taken.push(message);
      if (taken.length === count) finish(taken);
    },
  };
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
