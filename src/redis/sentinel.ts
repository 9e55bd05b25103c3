// A connection that Sentinels lead: ioredis's, but for two of its habits.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Host, SentinelAddress } from '../redis-address.js';
import { ASK_MS, RECONNECT_MS, loginOptions } from './connection-options.js';

/** A connection to the primary of that name. */
export function openSentinel(address: SentinelAddress, options: RedisOptions): Redis {
  const { hosts, primary, db, tls, sentinelUsername, sentinelPassword } = address;
  const redis = new Redis({
    ...(options as RedisOptions & { replyMapping: 'legacy' }),
    sentinels: hosts,
    name: primary,
    db,
    ...loginOptions(address),
    sentinelUsername,
    sentinelPassword,
    ...(tls && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
    // a primary that became a replica: find the new one
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    // without it a connection to a primary that hangs and comes back stays with it after the fail-over
    failoverDetector: true,
    sentinelCommandTimeout: ASK_MS,
    sentinelRetryStrategy: () => RECONNECT_MS,
    sentinelReconnectStrategy: () => 1_000,
  });
  muteSentinels(redis);
  keepOpen(redis);
  return redis;
}

/**
 * ioredis gives a connection up for good when Sentinel's news of a fail-over arrives while it looks for the primary, which
 * it does all the time when there is none: the failoverDetector then aborts that attempt, as if by disconnect().
 */
function keepOpen(redis: Redis): void {
  let closed = false;
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect) => {
    closed ||= reconnect !== true;
    disconnect(reconnect);
  };
  // what it fails with was told as an error, and 'end' comes again
  redis.on('end', () => !closed && setTimeout(() => void redis.connect().catch(() => undefined), RECONNECT_MS));
}

/**
 * ioredis prints the errors of its failoverDetector's connections, for it gives them no listener: a Sentinel that is away
 * is tried again every second, and what that means for requests is told where the primary cannot be found.
 */
function muteSentinels(redis: Redis): void {
  const { connector } = redis as unknown as { connector: { connectToSentinel: (...args: unknown[]) => Redis } };
  const connectToSentinel = connector.connectToSentinel.bind(connector);
  connector.connectToSentinel = (...args) => connectToSentinel(...args).on('error', () => undefined);
}

/** The primary and all replicas that the Sentinels know, dead ones too; asks one Sentinel after the other. */
export async function nodesBySentinel(address: SentinelAddress): Promise<number> {
  let failure: unknown;
  for (const host of address.hosts) {
    try {
      return 1 + (await askSentinel(host, address));
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function askSentinel(
  { host, port }: Host,
  { primary, tls, sentinelUsername, sentinelPassword }: SentinelAddress,
): Promise<number> {
  const sentinel = new Redis({
    host,
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: ASK_MS,
    commandTimeout: ASK_MS,
    ...loginOptions({ username: sentinelUsername, password: sentinelPassword, tls }),
  });
  sentinel.on('error', () => undefined); // the command below fails with it
  try {
    return ((await sentinel.call('SENTINEL', 'REPLICAS', primary)) as unknown[]).length;
  } finally {
    sentinel.disconnect();
  }
}
