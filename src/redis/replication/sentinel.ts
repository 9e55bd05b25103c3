// Queries Sentinels about a primary and its replicas, each on a connection that is used for one query at a time.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Host, SentinelAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import { ASK_MS, FAIL_FAST } from '../connect/connection-options.js';
import { IdleConnections } from '../connect/idle-connections.js';
import { sentinelLogin } from '../connect/login.js';

/** The node that one Sentinel names as the primary. The epoch rises with each fail-over, so the highest is the latest. */
export interface NamedPrimary extends Host {
  epoch: number;
}

/** What one Sentinel knows of the deployment. */
export interface SentinelView extends NamedPrimary {
  /** A fail-over is in progress in which, as far as this Sentinel knows, no node has been promoted yet. */
  isFailingOver: boolean;
  /** The primary has not answered this Sentinel for `downAfterMs`. */
  isDown: boolean;
  downAfterMs: number;
  /** For how long this Sentinel has known that node as a primary, ms; SENTINEL RESET sets it to 0. */
  knownForMs: number;
  /** The replicas that this Sentinel knows, dead ones included. */
  replicas: Host[];
}

/** @throws Error when the Sentinel does not answer within ASK_MS */
export async function primaryBySentinel(host: Host, address: SentinelAddress): Promise<NamedPrimary> {
  return askSentinel(host, address, async (sentinel) => {
    const [, named] = await askForPrimary(sentinel, address);
    return named;
  });
}

/** @throws Error when the Sentinel does not answer within ASK_MS */
export async function sentinelView(host: Host, address: SentinelAddress): Promise<SentinelView> {
  return askSentinel(host, address, async (sentinel) => {
    const [[facts, named], replicas] = await Promise.all([
      askForPrimary(sentinel, address),
      sentinel.call('SENTINEL', 'REPLICAS', address.primary) as Promise<string[][]>,
    ]);
    const flags = field(facts, 'flags').split(',');
    // once it has seen the promotion it names the new primary, while its facts still describe the old one
    const hasPromoted = field(facts, 'ip') !== named.host || Number(field(facts, 'port')) !== named.port;
    return {
      ...named,
      isFailingOver: !hasPromoted && flags.includes('failover_in_progress'),
      isDown: !hasPromoted && (flags.includes('s_down') || flags.includes('o_down')),
      downAfterMs: Number(field(facts, 'down-after-milliseconds')),
      knownForMs: Number(field(facts, 'role-reported-time')),
      // a `redis-cli --rdb` that once copied the primary stays listed, with port 0
      replicas: replicas
        .map((replica) => ({ host: field(replica, 'ip'), port: Number(field(replica, 'port')) }))
        .filter(({ port }) => port !== 0),
    };
  });
}

/** The views of all Sentinels that answer. */
export async function sentinelViews(address: SentinelAddress): Promise<SentinelView[]> {
  const answers = await Promise.allSettled(address.hosts.map((host) => sentinelView(host, address)));
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}

async function askForPrimary(
  sentinel: Redis,
  { primary }: SentinelAddress,
): Promise<[facts: string[], named: NamedPrimary]> {
  // In this order, so that the address is never older than the epoch. The address in MASTER's reply would not do: the Sentinel
  // that leads a fail-over changes it some seconds after it has raised the epoch.
  const [facts, name] = await Promise.all([
    sentinel.call('SENTINEL', 'MASTER', primary) as Promise<string[]>,
    sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary) as Promise<[string, string]>,
  ]);
  return [facts, { host: name[0], port: Number(name[1]), epoch: Number(field(facts, 'config-epoch')) }];
}

/** @param facts a flat list of names and values, as RESP2 returns it */
const field = (facts: string[], name: string): string => facts[facts.indexOf(name) + 1] ?? '';

const connections = new IdleConnections();

function askSentinel<T>(host: Host, address: SentinelAddress, question: (sentinel: Redis) => Promise<T>): Promise<T> {
  const open = (): Redis => openSentinel(host, address, { retryStrategy: () => null, commandTimeout: ASK_MS });
  return connections.ask(nodeName(host), open, question);
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
    Connector: FAIL_FAST.Connector,
  });
  return sentinel.on('error', () => undefined); // without a listener ioredis prints errors
}
