// Measures the bytes that a queue takes in Redis: roughly for STAT, completely for the limits of bytes.
import { ENTRY_BYTES, ESTIMATED_NODES, LEASE_BYTES } from '../config/limits.js';
import { countsKey, deadKey, delayedKey, ended0Key, ended1Key, queueKey, seenKey } from './keys.js';
import type { Queues } from './queues.js';

type MeasureArguments = [
  queue: string,
  delayed: string,
  dead: string,
  seen: string,
  ended0: string,
  ended1: string,
  counts: string,
  nodes: number,
  leaseBytes: number,
];
type MeasureReply = [bytes: number, mostNow: number, mostLater: number];

declare module './queues.js' {
  interface QueueCommands {
    aizumiMeasure(...args: MeasureArguments): Promise<MeasureReply>;
    aizumiEstimate(...args: MeasureArguments): Promise<MeasureReply>;
  }
}

/** Bytes that are charged for a message beside its payload: its entry takes 20 to 130, and its lease follows later. */
export const MESSAGE_BYTES = ENTRY_BYTES + LEASE_BYTES;

const ALL = 0;

interface Measured {
  bytes: number;
  /** The most of these that belong to messages that can be received, and to delayed ones; only where all nodes were measured. */
  mostNow: number;
  mostLater: number;
}

async function ask(
  { redis, settings }: Queues,
  address: number,
  nodes: number,
  by: 'aizumiMeasure' | 'aizumiEstimate',
): Promise<Measured> {
  const { keyPrefix: prefix } = settings;
  const makers = [queueKey, delayedKey, deadKey, seenKey, ended0Key, ended1Key, countsKey] as const;
  const [queue, delayed, dead, seen, ended0, ended1, counts] = makers.map((key) => key(prefix, address)) as [
    ...Parameters<typeof redis.aizumiMeasure>,
  ];
  const measured = await redis[by](queue, delayed, dead, seen, ended0, ended1, counts, nodes, LEASE_BYTES);
  const [bytes, mostNow, mostLater] = measured;
  return { bytes, mostNow, mostLater };
}

/** @returns bytes; beyond the first nodes of its streams an estimate. Takes Redis at most some 50 µs. */
export const estimate = async (queues: Queues, address: number): Promise<number> =>
  (await ask(queues, address, ESTIMATED_NODES, 'aizumiEstimate')).bytes;

/** Measures the whole queue, in some 45 ns for each node of its streams, and stores the result for later SENDs. */
export function measure(queues: Queues, address: number): Promise<void> {
  const { lengths, shares } = queues;
  return lengths.measure(
    address,
    () => ask(queues, address, ALL, 'aizumiMeasure'),
    ({ mostNow, mostLater }, sentMeanwhile) =>
      shares.learnBytes(address, mostNow + sentMeanwhile, mostLater + sentMeanwhile, performance.now()),
  );
}

/** The same, unless the queue was measured so lately that it would cost Redis too much. */
export async function measureAgain(queues: Queues, address: number): Promise<void> {
  if (!queues.lengths.rests(address, performance.now())) await measure(queues, address);
}
