// What Sentinels know of a primary and its replicas; each is asked on a connection for this question alone.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Host, SentinelAddress } from '../redis-address.js';
import { ASK_MS, FAIL_FAST } from './connection-options.js';
import { sentinelLogin } from './login.js';

/** What one Sentinel takes for the primary. With each fail-over the epoch rises: the highest is the latest. */
export interface Word extends Host {
  epoch: number;
}

export async function primaryBySentinel(host: Host, address: SentinelAddress): Promise<Word> {
  return askSentinel(host, address, async (sentinel) => {
    // In this order: of what changes in between, the address is the newer one. Not the address in MASTER's reply: the Sentinel
    // that leads a fail-over raises its epoch some seconds before it changes that one.
    const [facts, named] = await Promise.all([
      sentinel.call('SENTINEL', 'MASTER', address.primary) as Promise<string[]>,
      sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', address.primary) as Promise<[string, string]>,
    ]);
    const epoch = Number(facts[facts.indexOf('config-epoch') + 1]);
    return { host: named[0], port: Number(named[1]), epoch };
  });
}

/** The primary and all replicas that the Sentinels know, dead ones too; asks one Sentinel after the other. */
export async function nodesBySentinel(address: SentinelAddress): Promise<number> {
  let failure: unknown;
  for (const host of address.hosts) {
    try {
      const replicas = await askSentinel(host, address, (sentinel) =>
        sentinel.call('SENTINEL', 'REPLICAS', address.primary),
      );
      return 1 + (replicas as unknown[]).length;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function askSentinel<T>(
  host: Host,
  address: SentinelAddress,
  question: (sentinel: Redis) => Promise<T>,
): Promise<T> {
  const sentinel = openSentinel(host, address, { retryStrategy: () => null, commandTimeout: ASK_MS });
  let broken: Error | undefined;
  sentinel.on('error', (error) => (broken = error));
  try {
    return await question(sentinel);
  } catch (error) {
    throw broken ?? error; // the command only says that the connection was closed
  } finally {
    sentinel.disconnect();
  }
}

/** A connection to a Sentinel itself. */
export function openSentinel(host: Host, address: SentinelAddress, options: RedisOptions): Redis {
  const sentinel = new Redis({
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    ...host,
    ...sentinelLogin(address),
    enableReadyCheck: false,
    connectTimeout: ASK_MS,
    disconnectTimeout: FAIL_FAST.disconnectTimeout,
  });
  return sentinel.on('error', () => undefined); // without a listener ioredis prints them
}
