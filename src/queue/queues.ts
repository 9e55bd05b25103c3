// What every operation on a queue needs: the connection, the names of keys, and the limits.
import { readFileSync } from 'node:fs';
import type { RedisClient, Script } from '../redis/connect.js';
import { QueueLengths } from './queue-lengths.js';

export interface QueueSettings {
  readonly keyPrefix: string;
  /** How long a delivered message is leased to its receiver, ms. */
  readonly visibilityTimeoutMs: number;
  /** A message delivered this often and never freed goes to the dead stream. */
  readonly maxDeliveries: number;
  /** Messages that a queue may hold, waiting and leased together. */
  readonly maxQueueLength: number;
}

/** How the scripts are called; each one's header says what goes in and comes out. */
export interface QueueCommands {
  aizumiSend(queue: string, maxLength: number, saddr: number, id: number, payload: string): Promise<number>;
  aizumiRecv(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      dead: string,
      visibilityTimeoutMs: number,
      maxDeliveries: number,
    ]
  ): Promise<[saddr: string, id: string, payload: string] | null>;
  aizumiFree(queue: string, leases: string, held: string, id: number): Promise<0 | 1>;
  aizumiGbye(
    ...args: [queue: string, leases: string, held: string, delayed: string, dead: string, atMost: number]
  ): Promise<number>;
  aizumiStat(
    ...args: [queue: string, leases: string, delayed: string, dead: string]
  ): Promise<[waiting: number, leased: number, delayed: number, dead: number, oldestMs: number] | null>;
}

export interface Queues {
  readonly redis: RedisClient & QueueCommands;
  readonly settings: QueueSettings;
  readonly lengths: QueueLengths;
}

/** A message as it travels: payload is the sender's own JSON text, untouched. */
export interface Message {
  saddr: number;
  id: number;
  payload: string;
}

/** @param redis a connection opened with {@link QUEUE_SCRIPTS} */
export function createQueues(redis: RedisClient, settings: QueueSettings): Queues {
  return { redis: redis as Queues['redis'], settings, lengths: new QueueLengths(settings.maxQueueLength) };
}

const script = (file: string, numberOfKeys: number): Script => ({
  lua: readFileSync(new URL(file, import.meta.url), 'utf8'),
  numberOfKeys,
});

/** To be registered with the connection; each is called by the operation that stands beside its file. */
export const QUEUE_SCRIPTS = {
  aizumiSend: script('./send.lua', 1),
  aizumiRecv: script('./recv.lua', 4),
  aizumiFree: script('./free.lua', 3),
  aizumiGbye: script('./gbye.lua', 5),
  aizumiStat: script('./stat.lua', 4),
} satisfies Record<string, Script>;
