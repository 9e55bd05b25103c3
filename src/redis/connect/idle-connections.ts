// Connections for single questions, kept for a while: while a node is missing, the fence asks the same Sentinels and nodes several
// times a second, and a new connection for each question costs a busy machine more than the question.
import { Redis } from 'ioredis';
import type { Host, RedisAddress } from '../../config/redis-url.js';
import { FAIL_FAST } from './connection-options.js';
import { nodeLogin } from './login.js';
import { socketOf } from '../private-api.js';

const KEPT_MS = 5_000;

interface Idle {
  redis: Redis;
  timer: NodeJS.Timeout;
}

export class IdleConnections {
  readonly #idle = new Map<string, Idle>();
  readonly #errors = new WeakMap<Redis, Error>();

  /**
   * Each question has a connection to itself: a second one at the same time opens another, so a hung one delays no other question.
   * @param name of the node that is asked
   * @param open opens a connection that does not reconnect
   * @throws why the connection broke, or what `question` throws; the connection is closed then
   */
  async ask<T>(name: string, open: () => Redis, question: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = this.#take(name) ?? this.#open(open);
    try {
      const answer = await question(redis);
      this.#keep(name, redis);
      return answer;
    } catch (error) {
      redis.disconnect();
      throw this.#errors.get(redis) ?? error; // the command only says that the connection was closed
    }
  }

  #open(open: () => Redis): Redis {
    const redis = open();
    return redis.on('error', (error: Error) => this.#errors.set(redis, error));
  }

  #take(name: string): Redis | undefined {
    const idle = this.#idle.get(name);
    if (idle === undefined) return undefined;
    this.#idle.delete(name);
    clearTimeout(idle.timer);
    if (idle.redis.status !== 'ready') return undefined;
    socketOf(idle.redis).ref();
    return idle.redis;
  }

  #keep(name: string, redis: Redis): void {
    if (this.#idle.has(name) || redis.status !== 'ready') {
      redis.disconnect();
      return;
    }
    socketOf(redis).unref(); // it keeps no process alive
    const timer = setTimeout(() => {
      this.#idle.delete(name);
      redis.disconnect();
    }, KEPT_MS).unref();
    this.#idle.set(name, { redis, timer });
  }
}

/** A connection for one question, which does not reconnect. @param timeoutMs for the connection, and for the answer */
export const openToAsk = (target: Host | { path: string }, address: RedisAddress, timeoutMs: number): Redis =>
  new Redis({
    ...(FAIL_FAST as typeof FAIL_FAST & { replyMapping: 'legacy' }),
    ...target,
    ...nodeLogin(address),
    connectionName: 'aizumi-check',
    enableOfflineQueue: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  }).on('error', () => undefined); // the command fails with it
