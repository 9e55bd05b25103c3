// Clients that write to the current primary as fast as possible, and record the replies; for fail-overs that must lose nothing.
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { until } from '../../harness/until.js';

/** In a Cluster it is in the shard of slot 0. */
export const LIST = 'writes';
/** Of each kind: those that wait for replicas (WAIT 1), and those that do not. */
const CONNECTIONS = 2;
const WAIT_MS = 900;
const RETRY_MS = 10;
/** Of writes before and after a fault. */
const ENOUGH = 50;

export interface Address {
  host: string;
  port: number;
  password?: string;
}

export interface Writers {
  /** Ids whose RPUSH (and WAIT) was answered. */
  readonly answered: readonly number[];
  /** Error messages of the others, by id. */
  readonly refused: ReadonlyMap<number, string>;
  stop(): Promise<void>;
}

/** @param primary where to write; asked again after each error */
export function startWriters(primary: () => Promise<Address | undefined>): Writers {
  const answered: number[] = [];
  const refused = new Map<number, string>();
  let lastId = 0;
  let isStopped = false;

  async function write(replicas: number): Promise<void> {
    let redis: Redis | undefined;
    while (!isStopped) {
      const target = redis ? undefined : await primary().catch(() => undefined);
      redis ??= target && connect(target);
      if (!redis) {
        await pause(RETRY_MS);
        continue;
      }
      const id = ++lastId;
      try {
        // in one go on one connection; a reply of WAIT counts only when the write before it was done
        const commands = [redis.rpush(LIST, id), ...(replicas === 0 ? [] : [redis.wait(replicas, WAIT_MS)])];
        const [pushed, confirmed] = await Promise.allSettled(commands);
        if (pushed!.status === 'rejected') throw pushed!.reason;
        if (confirmed?.status === 'rejected') throw confirmed.reason;
        if (confirmed && confirmed.value < replicas) throw new Error('too few replicas confirmed');
        answered.push(id);
      } catch (error) {
        refused.set(id, (error as Error).message);
        redis.disconnect();
        redis = undefined;
        await pause(RETRY_MS);
      }
    }
    redis?.disconnect();
  }

  const running = Array.from({ length: 2 * CONNECTIONS }, (_, i) => write(i % 2));
  return {
    answered,
    refused,
    async stop() {
      isStopped = true;
      await Promise.all(running);
    },
  };
}

/** Resolves when enough of them have been answered since this was called. */
export function answersMore({ answered }: Writers, withinMs: number): Promise<true> {
  const before = answered.length;
  return until('more writes are answered', () => answered.length > before + ENOUGH, withinMs);
}

/** The writes that are stored. */
export async function readWritten(primary: Address): Promise<Set<number>> {
  const redis = connect(primary);
  try {
    return new Set((await redis.lrange(LIST, 0, -1)).map(Number));
  } finally {
    redis.disconnect();
  }
}

function connect(options: Address): Redis {
  const redis = new Redis({
    ...options,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: 500,
  });
  redis.on('error', () => undefined); // the command fails with it
  return redis;
}
