// What every operation on a queue needs: the connection, the names of keys, and the limits.
import { readFileSync } from 'node:fs';
import type { RedisClient, Script } from '../redis/connect.js';
import type { DurableWrites } from '../redis/durable-writes.js';
import type { Observer } from '../observer.js';
import { MessageSizes } from './message-sizes.js';
import { QueueLengths } from './queue-lengths.js';
import { UsedAddresses } from './used-addresses.js';

export interface QueueSettings {
  readonly keyPrefix: string;
  /** How long a delivered message is leased to its receiver, ms. */
  readonly visibilityTimeoutMs: number;
  /** A message delivered this often and never freed goes to the dead stream. */
  readonly maxDeliveries: number;
  /** Messages that a queue may hold, waiting, leased and delayed together. */
  readonly maxQueueLength: number;
  /** How long a deduplicated message is remembered after its end, ms. */
  readonly dedupWindowMs: number;
}

/** How the scripts are called; each one's header says what goes in and comes out. */
export interface QueueCommands {
  aizumiSend(
    ...args: [
      queue: string,
      delayed: string,
      settings: string,
      maxLength: number,
      saddr: number,
      id: number,
      payload: string,
      delayMs: number,
      ttlMs: number | '',
      traceparent: string,
    ]
  ): Promise<[length: number, maxLength: number, isNew: 0 | 1, isAhead: -1 | 0 | 1]>;
  aizumiSendOnce(
    ...args: [
      queue: string,
      delayed: string,
      settings: string,
      seen: string,
      ended0: string,
      ended1: string,
      maxLength: number,
      saddr: number,
      id: number,
      payload: string,
      delayMs: number,
      ttlMs: number | '',
      traceparent: string,
      windowMs: number,
    ]
  ): Promise<[length: number, maxLength: number, isNew: 0 | 1, isAhead: -1 | 0 | 1]>;
  aizumiRecv(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      delayed: string,
      backed: string,
      dead: string,
      seen: string,
      settings: string,
      counts: string,
      attempts: string,
      ended0: string,
      ended1: string,
      visibilityTimeoutMs: number,
      maxDeliveries: number,
      windowMs: number,
      max: number,
      requestedTimeoutMs: number | '',
      attemptId: string,
    ]
  ): Promise<[againMs: number, ...taken: (string | number)[]]>;
  aizumiFree(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      seen: string,
      ended0: string,
      ended1: string,
      settings: string,
      attempts: string,
      ids: string,
      receipt: string,
      windowMs: number,
    ]
  ): Promise<string[]>;
  aizumiKeep(
    ...args: [leases: string, held: string, id: number, receipt: string, visibilityTimeoutMs: number]
  ): Promise<0 | 1>;
  aizumiBack(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      backed: string,
      attempts: string,
      id: number,
      receipt: string,
      delayMs: number,
      counts: 0 | 1,
    ]
  ): Promise<0 | 1>;
  aizumiGiveBack(
    ...args: [queue: string, leases: string, held: string, attempts: string, deliveries: string, attemptId: string]
  ): Promise<0 | 1>;
  aizumiGbye(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      delayed: string,
      dead: string,
      settings: string,
      counts: string,
      sample: string,
      attempts: string,
      seen: string,
      atMost: number,
    ]
  ): Promise<number>;
  aizumiStat(
    ...args: [
      queue: string,
      leases: string,
      delayed: string,
      backed: string,
      dead: string,
      settings: string,
      counts: string,
      sample: string,
    ]
  ): Promise<[...counters: number[], settings: string[], sample: string[]] | null>;
  aizumiSample(...args: [sample: string, fields: string, keepMs: number]): Promise<0>;
  aizumiHelo(...args: [queue: string, settings: string, changes: string]): Promise<0>;
  aizumiPeek(
    ...args: [
      queue: string,
      leases: string,
      delayed: string,
      backed: string,
      dead: string,
      settings: string,
      state: string,
      max: number,
      cursor: string,
    ]
  ): Promise<[cursor: string, ...found: (string | number)[]]>;
  aizumiMove(
    ...args: [queue: string, delayed: string, dead: string, settings: string, streamIds: string, maxLength: number]
  ): Promise<[count: number, isFull: 0 | 1]>;
  aizumiDrop(
    ...args: [
      queue: string,
      leases: string,
      held: string,
      delayed: string,
      backed: string,
      dead: string,
      seen: string,
      ended0: string,
      ended1: string,
      settings: string,
      attempts: string,
      targets: string,
      windowMs: number,
    ]
  ): Promise<number>;
}

export type QueueRedis = RedisClient & QueueCommands;

export interface Queues {
  readonly redis: QueueRedis;
  readonly durable: DurableWrites;
  readonly settings: QueueSettings;
  readonly lengths: QueueLengths;
  readonly sizes: MessageSizes;
  readonly used: UsedAddresses;
  readonly observer: Observer | undefined;
}

/** A message as it travels: payload is the sender's own JSON text, untouched. */
export interface Message {
  saddr: number;
  id: number;
  payload: string;
  /** Of who sent it, if it was told. */
  traceparent?: string | undefined;
}

/** @param redis and `durable`: opened with {@link QUEUE_SCRIPTS} */
export function createQueues(
  redis: RedisClient,
  durable: DurableWrites,
  settings: QueueSettings,
  observer?: Observer,
): Queues {
  return {
    redis: redis as QueueRedis,
    durable,
    settings,
    lengths: new QueueLengths(),
    sizes: new MessageSizes(),
    used: new UsedAddresses(),
    observer,
  };
}

const script = (file: string, numberOfKeys: number): Script => ({
  lua: readFileSync(new URL(file, import.meta.url), 'utf8'),
  numberOfKeys,
});

/** To be registered with the connection; each is called by the operation that stands beside its file. */
export const QUEUE_SCRIPTS = {
  aizumiSend: script('./send.lua', 3),
  aizumiSendOnce: script('./send-once.lua', 6),
  aizumiRecv: script('./recv.lua', 12),
  aizumiFree: script('./free.lua', 8),
  aizumiKeep: script('./keep.lua', 2),
  aizumiBack: script('./back.lua', 5),
  aizumiGiveBack: script('./give-back.lua', 4),
  aizumiGbye: script('./gbye.lua', 10),
  aizumiStat: script('./stat.lua', 8),
  aizumiSample: script('./sample.lua', 1),
  aizumiHelo: script('./helo.lua', 2),
  aizumiPeek: script('./peek.lua', 6),
  aizumiMove: script('./move.lua', 4),
  aizumiDrop: script('./drop.lua', 11),
} satisfies Record<string, Script>;
