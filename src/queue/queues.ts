// What every operation on a queue needs: the connection, the names of keys, and the limits.
import { nodeOf } from '../redis/connect/cluster.js';
import type { RedisClient, Script } from '../redis/connect/connect.js';
import type { DurableWrites } from '../redis/replication/durable-writes.js';
import type { Observer } from '../observe/observer.js';
import { queueKey } from './keys.js';
import { LightTurns } from './light-turns.js';
import { loadLua } from './lua.js';
import { MessageSizes } from './message-sizes.js';
import { QueueLengths } from './queue-lengths.js';
import { Shares } from './shares.js';
import { Sweeps } from './sweeps.js';
import { Turns } from './turns.js';
import { UsedAddresses } from './used-addresses.js';

export interface QueueSettings {
  readonly keyPrefix: string;
  /** How long a delivered message is leased to its receiver, ms. */
  readonly visibilityTimeoutMs: number;
  /** A message delivered this often and never freed goes to the dead stream. */
  readonly maxDeliveries: number;
  /** Messages that a queue may hold, waiting, leased and delayed together. */
  readonly maxQueueLength: number;
  /** Bytes that a queue may take in Redis, its dead messages included. */
  readonly maxQueueBytes: number;
  /** Queues that a client may have made, and bytes that it may have stored through this worker. */
  readonly maxClientQueues: number;
  readonly maxClientBytes: number;
  /** How long a deduplicated message is remembered after its end, ms. */
  readonly dedupWindowMs: number;
}

type SendLimits = [maxBytes: number, knownBytes: number | 'full' | 'share', moreBytes: number, mayMake: 0 | 1];

type Sent = [length: number, maxLength: number, isNew: 0 | 1, isAhead: -1 | 0 | 1, maxBytes: number];
type RecvArguments = [
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
  mostText: number,
  slice: number,
  goesOn: string,
  room: number,
  envelope: number,
  mostTold: number,
];
/** Of messages, as peek.lua has it: by whether their time to live is over. */
export type Which = 'live' | 'expired' | 'all';

type RecvReply = [againMs: number, ...taken: (string | number)[]];

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

/** How the scripts are called; each one's header says what goes in and comes out. */
export interface QueueCommands {
  aizumiSend(
    ...args: [
      queue: string,
      delayed: string,
      settings: string,
      counts: string,
      maxLength: number,
      saddr: number,
      id: number,
      payload: string,
      delayMs: number,
      ttlMs: number | '',
      traceparent: string,
      ...limits: SendLimits,
    ]
  ): Promise<Sent>;
  aizumiSendOnce(
    ...args: [
      queue: string,
      delayed: string,
      settings: string,
      seen: string,
      ended0: string,
      ended1: string,
      counts: string,
      maxLength: number,
      saddr: number,
      id: number,
      payload: string,
      delayMs: number,
      ttlMs: number | '',
      traceparent: string,
      windowMs: number,
      ...limits: SendLimits,
    ]
  ): Promise<Sent>;
  aizumiRecv(...args: RecvArguments): Promise<RecvReply>;
  aizumiRecvRemembering(...args: RecvArguments): Promise<RecvReply>;
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
  ): Promise<[given: number, held: number]>;
  aizumiStat(
    ...args: [
      queue: string,
      leases: string,
      delayed: string,
      backed: string,
      dead: string,
      settings: string,
      counts: string,
    ]
  ): Promise<
    | [
        waiting: number,
        leased: number,
        delayed: number,
        dead: number,
        expired: number,
        oldestMs: number,
        settings: string[],
        hasExpired: 0 | 1,
      ]
    | null
  >;
  aizumiCounters(
    ...args: [queue: string, delayed: string, sample: string]
  ): Promise<[at: number, sent: number, received: number, gone: number, sample: string[]]>;
  aizumiMeasure(...args: MeasureArguments): Promise<MeasureReply>;
  aizumiEstimate(...args: MeasureArguments): Promise<MeasureReply>;
  aizumiSample(...args: [sample: string, fields: string, keepMs: number]): Promise<0>;
  aizumiHelo(...args: [queue: string, settings: string, changes: string, mayMake: 0 | 1]): Promise<0 | 1>;
  aizumiRegister(
    ...args: [register: string, owners: string, made: string, address: number, client: string]
  ): Promise<number>;
  aizumiUnregister(...args: [register: string, owners: string, made: string, address: number]): Promise<string>;
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
      mostText: number,
      returnsPayloads: 0 | 1,
      which: Which,
      bound: string,
    ]
  ): Promise<[cursor: string, looked: number, bound: string, ...found: (string | number)[]]>;
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
      counts: string,
      targets: string,
      windowMs: number,
      onlyExpired: 0 | 1,
    ]
  ): Promise<[deleted: number, expired: number]>;
}

export type QueueRedis = RedisClient & QueueCommands;

export interface Queues {
  readonly redis: QueueRedis;
  readonly durable: DurableWrites;
  readonly settings: QueueSettings;
  readonly lengths: QueueLengths;
  readonly sizes: MessageSizes;
  readonly used: UsedAddresses;
  readonly shares: Shares;
  readonly turns: Turns;
  readonly sweeps: Sweeps;
  readonly light: LightTurns;
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
    shares: new Shares(settings),
    // while a Cluster's map of slots is not known, commands fail at once
    turns: new Turns((key) => nodeOf(redis, key) ?? ''),
    sweeps: new Sweeps(),
    light: new LightTurns((address) => nodeOf(redis, queueKey(settings.keyPrefix, address)) ?? ''),
    observer,
  };
}

const script = (file: string, numberOfKeys: number): Script => ({ lua: loadLua(file), numberOfKeys });

const recvScript = script('./recv.lua', 12);
const measureScript = script('./measure.lua', 7);

/** To be registered with the connection; each is called by the operation that stands beside its file. */
export const QUEUE_SCRIPTS = {
  aizumiSend: script('./send.lua', 4),
  aizumiSendOnce: script('./send-once.lua', 7),
  aizumiRecv: recvScript,
  /** The same, refused by Redis as a whole while it is short of memory: without the flags of its first line. */
  aizumiRecvRemembering: { ...recvScript, lua: recvScript.lua.replace(/^#!lua.*/, '#!lua') },
  aizumiFree: script('./free.lua', 8),
  aizumiKeep: script('./keep.lua', 2),
  aizumiBack: script('./back.lua', 5),
  aizumiGiveBack: script('./give-back.lua', 4),
  aizumiGbye: script('./gbye.lua', 10),
  aizumiStat: script('./stat.lua', 7),
  aizumiCounters: script('./counters.lua', 3),
  aizumiMeasure: measureScript,
  /** The same of some nodes, which writes nothing: also where Redis takes no writes. */
  aizumiEstimate: { ...measureScript, lua: measureScript.lua.replace(/^#!lua.*/, '#!lua flags=no-writes') },
  aizumiSample: script('./sample.lua', 1),
  aizumiHelo: script('./helo.lua', 2),
  aizumiRegister: script('./register.lua', 3),
  aizumiUnregister: script('./unregister.lua', 3),
  aizumiPeek: script('./peek.lua', 6),
  aizumiMove: script('./move.lua', 4),
  aizumiDrop: script('./drop.lua', 12),
} satisfies Record<string, Script>;
