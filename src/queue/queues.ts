// Assembles what every operation on a queue needs: the connection with its scripts, the settings, and what this worker knows.
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
  /** A message that was delivered this often and never freed is moved to the dead stream. */
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

/**
 * The scripts as commands of the connection. Each operation declares its own, beside the code that calls it; the script's header
 * describes its arguments and its reply.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- filled by the operations
export interface QueueCommands {}

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

/** `payload` is the sender's own JSON text, unchanged. */
export interface Message {
  saddr: number;
  id: number;
  payload: string;
  /** From the SEND request, if it had one. */
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
    // '' while the slots of a Cluster are not known: then commands fail at once
    turns: new Turns((key) => nodeOf(redis, key) ?? ''),
    sweeps: new Sweeps(),
    light: new LightTurns((address) => nodeOf(redis, queueKey(settings.keyPrefix, address)) ?? ''),
    observer,
  };
}

const script = (file: string, numberOfKeys: number): Script => ({ lua: loadLua(file), numberOfKeys });

const recvScript = script('./recv.lua', 12);
const measureScript = script('./measure.lua', 7);

/** The connection registers these scripts. Each is called by the operation of the same name. */
export const QUEUE_SCRIPTS = {
  aizumiSend: script('./send.lua', 4),
  aizumiSendOnce: script('./send-once.lua', 7),
  aizumiRecv: recvScript,
  /** The same script without flags: Redis refuses it as a whole while it is short of memory. */
  aizumiRecvRemembering: { ...recvScript, lua: recvScript.lua.replace(/^#!lua.*/, '#!lua') },
  aizumiFree: script('./free.lua', 8),
  aizumiKeep: script('./keep.lua', 2),
  aizumiBack: script('./back.lua', 5),
  aizumiGiveBack: script('./give-back.lua', 4),
  aizumiGbye: script('./gbye.lua', 10),
  aizumiStat: script('./stat.lua', 7),
  aizumiCounters: script('./counters.lua', 3),
  aizumiMeasure: measureScript,
  /** The same script for some nodes only. It does not write, so it runs where Redis accepts no writes, too. */
  aizumiEstimate: { ...measureScript, lua: measureScript.lua.replace(/^#!lua.*/, '#!lua flags=no-writes') },
  aizumiSample: script('./sample.lua', 1),
  aizumiHelo: script('./helo.lua', 2),
  aizumiRegister: script('./register.lua', 3),
  aizumiUnregister: script('./unregister.lua', 3),
  aizumiPeek: script('./peek.lua', 6),
  aizumiMove: script('./move.lua', 4),
  aizumiDrop: script('./drop.lua', 12),
} satisfies Record<keyof QueueCommands, Script>;
