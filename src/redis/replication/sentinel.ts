// What Sentinels know of a primary and its replicas; each is asked on a connection for this question alone.
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Host, SentinelAddress } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';
import { ASK_MS, FAIL_FAST } from '../connect/connection-options.js';
import { IdleConnections } from '../connect/idle-connections.js';
import { sentinelLogin } from '../connect/login.js';

/** What one Sentinel takes for the primary. With each fail-over the epoch rises: the highest is the latest. */
export interface Word extends Host {
  epoch: number;
}

/** What one Sentinel knows of the deployment. */
export interface SentinelView extends Word {
  /** It leads a fail-over in which nobody has been promoted yet, as far as it knows. */
  isFailingOver: boolean;
  /** The primary has not answered this Sentinel for `downAfterMs`. */
  isDown: boolean;
  downAfterMs: number;
  /** Since this Sentinel knows the primary as one, ms; it begins anew with SENTINEL RESET. */
  knownForMs: number;
  /** The replicas that it knows, dead ones included. */
  replicas: Host[];
}

export async function primaryBySentinel(host: Host, address: SentinelAddress): Promise<Word> {
  return askSentinel(host, address, async (sentinel) => {
    const [, word] = await askForPrimary(sentinel, address);
    return word;
  });
}

/** @throws Error when the Sentinel does not answer within ASK_MS */
export async function sentinelView(host: Host, address: SentinelAddress): Promise<SentinelView> {
  return askSentinel(host, address, async (sentinel) => {
    const [[facts, word], replicas] = await Promise.all([
      askForPrimary(sentinel, address),
      sentinel.call('SENTINEL', 'REPLICAS', address.primary) as Promise<string[][]>,
    ]);
    const flags = field(facts, 'flags').split(',');
    // once it has seen the promotion it names the new primary, while its facts are still those of the old one
    const hasPromoted = field(facts, 'ip') !== word.host || Number(field(facts, 'port')) !== word.port;
    return {
      ...word,
      isFailingOver: !hasPromoted && flags.includes('failover_in_progress'),
      isDown: !hasPromoted && (flags.includes('s_down') || flags.includes('o_down')),
      downAfterMs: Number(field(facts, 'down-after-milliseconds')),
      knownForMs: Number(field(facts, 'role-reported-time')),
      // a copy that was once taken of the primary (`redis-cli --rdb`) stays known, with port 0
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

async function askForPrimary(sentinel: Redis, { primary }: SentinelAddress): Promise<[facts: string[], word: Word]> {
  // In this order: of what changes in between, the address is the newer one. Not the address in MASTER's reply: the Sentinel
  // that leads a fail-over raises its epoch some seconds before it changes that one.
  const [facts, named] = await Promise.all([
    sentinel.call('SENTINEL', 'MASTER', primary) as Promise<string[]>,
    sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary) as Promise<[string, string]>,
  ]);
  return [facts, { host: named[0], port: Number(named[1]), epoch: Number(field(facts, 'config-epoch')) }];
}

/** A flat list of names and values, as RESP2 has it. */
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
  return sentinel.on('error', () => undefined); // without a listener ioredis prints them
}
