// Connections for single queries, kept open for a while: while a node is missing, the fence queries the same Sentinels and nodes
// several times a second, and opening a connection costs a busy machine more than the query.
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
   * Gives each query a connection to itself: a second one at the same time opens another, so that a hung connection delays no
   * other query.
   * @param name the node that is queried
   * @param open opens a connection that does not reconnect
   * @throws why the connection broke, or what `question` throws; in both cases the connection is closed
   */
  async ask<T>(name: string, open: () => Redis, question: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = this.#take(name) ?? this.#open(open);
    try {
      const answer = await question(redis);
      this.#keep(name, redis);
      return answer;
    } catch (error) {
      redis.disconnect();
      throw this.#errors.get(redis) ?? error; // the command's own error is only that the connection was closed
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
    socketOf(redis).unref(); // an idle connection must not keep the process alive
    const timer = setTimeout(() => {
      this.#idle.delete(name);
      redis.disconnect();
    }, KEPT_MS).unref();
    this.#idle.set(name, { redis, timer });
  }
}

/** A connection for one query, which does not reconnect. @param timeoutMs for connecting, and again for the reply */
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
  }).on('error', () => undefined); // its command is rejected as well
