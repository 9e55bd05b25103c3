// Gathers the evidence for the fence (fence.ts) from the nodes, the Sentinels and the other primaries of a Cluster.
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress } from '../../config/redis-url.js';
import { withTimeout } from '../../timing/timeout.js';
import { nodeName } from '../connect/cluster.js';
import type { RedisClient } from '../connect/connect.js';
import { judge } from './fence.js';
import type { Witness } from './fence.js';
import { askInfo, askNode, reportIn } from './node-report.js';
import { targetOf } from '../connect/primary.js';
import { sentinelView } from './sentinel.js';
import type { SentinelView } from './sentinel.js';
import { doubtsAbout } from './shards.js';

export interface FenceOptions {
  address: RedisAddress;
  /** The worker's connection, on which the other primaries of a Cluster are queried. */
  redis: RedisClient;
  /** The primary's name in a Cluster, '' elsewhere. */
  node: string;
  /** All known nodes of the primary; it may be among them. */
  hosts: () => readonly Host[];
  /** How many nodes there are, including the primary; those whose address is not known count as lost. */
  nodes: () => number;
}

/**
 * A node that has not answered by then counts as lost. A check must end well before the last clearance ends (group-commit.ts).
 */
const ASK_MS = 300;
/**
 * If most Sentinels have not answered after ASK_MS, the check waits for them until then: without them it cannot clear a batch.
 */
const LONGEST_MS = 800;
/** A lost packet holds up its connection for a second, so further connections are tried at these times. */
const ATTEMPTS_MS = [0, 100, 250, 450];
/** How many other primaries of a Cluster are queried: a node that is elected announces it to all of them at once. */
const MOST_WITNESSES = 5;

/**
 * Checks whether a node that has not confirmed may be the primary, or may become it soon. This takes little more than
 * {@link ASK_MS}, or {@link LONGEST_MS} while most Sentinels do not answer.
 * @param writer the connection on which the writes were sent, to the node that executed them
 * @returns why a batch that not all replicas confirmed must not be acknowledged; '' when it may
 */
export async function checkFence(writer: Redis, options: FenceOptions): Promise<string> {
  const { address, hosts, nodes } = options;
  const known = hosts();
  const [info, witnesses, ...answers] = await Promise.all([
    withTimeout(ASK_MS, askInfo(writer)),
    askWitnesses(writer, options),
    ...known.map(
      async (host) =>
        (await withTimeout(
          ASK_MS,
          firstAnswer(() => askNode(host, address)),
        )) ?? ('lost' as const),
    ),
  ]);
  if (info === undefined) return 'the primary no longer answers';
  const primary = reportIn(info);
  const isPrimary = (i: number): boolean => {
    const answer = answers[i];
    return typeof answer === 'object' && answer.lineage.id === primary.lineage.id && answer.role === 'primary';
  };
  const others = answers.filter((_, i) => !isPrimary(i));
  const unknown = Math.max(0, nodes() - 1 - others.length);
  return judge({ primary, others: [...others, ...Array.from({ length: unknown }, () => 'lost' as const)], witnesses });
}

function askWitnesses(writer: Redis, { address, redis, node }: FenceOptions): Promise<(Witness | undefined)[]> {
  if (address.shape === 'sentinel') return askSentinels(writer, address);
  if (!(redis instanceof Cluster)) return Promise.resolve([]);
  const others = redis.nodes('master').filter(({ options }) => nodeName(options) !== node);
  return Promise.all(
    others.slice(0, MOST_WITNESSES).map(async (other) => {
      const text = await withTimeout(ASK_MS, other.cluster('NODES') as Promise<string>);
      return text === undefined ? undefined : { doubt: doubtsAbout(node, text) };
    }),
  );
}

async function askSentinels(writer: Redis, address: SentinelAddress): Promise<(Witness | undefined)[]> {
  const views: (SentinelView | undefined)[] = address.hosts.map(() => undefined);
  await new Promise<void>((resolve) => {
    let isLate = false;
    const enough = (): boolean => {
      const heard = views.filter((view) => view !== undefined).length;
      return heard === views.length || (isLate && heard > views.length / 2);
    };
    address.hosts.forEach((host, i) => {
      void firstAnswer(() => sentinelView(host, address)).then((view) => {
        views[i] = view;
        if (enough()) resolve();
      });
    });
    setTimeout(() => {
      isLate = true;
      if (enough()) resolve();
    }, ASK_MS);
    setTimeout(resolve, LONGEST_MS);
  });
  return witnessesOf([...views], targetOf(writer));
}

/** @returns undefined when none of the attempts was answered */
function firstAnswer<T>(ask: () => Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const attempts = ATTEMPTS_MS.map((afterMs) =>
      setTimeout(() => {
        ask().then(
          (answer) => {
            attempts.forEach(clearTimeout);
            resolve(answer);
          },
          () => undefined,
        );
      }, afterMs),
    );
    setTimeout(() => resolve(undefined), LONGEST_MS);
  });
}

/**
 * What the Sentinels' views mean for the primary.
 * @param target the node that the writer is connected to, under the address by which Sentinels name it
 */
export function witnessesOf(
  views: readonly (SentinelView | undefined)[],
  target: Host | undefined,
): (Witness | undefined)[] {
  const latest = Math.max(...views.map((view) => view?.epoch ?? -1));
  return views.map((view) => {
    if (view === undefined) return undefined;
    if (view.isFailingOver) return { doubt: 'a Sentinel reports that a fail-over is under way' };
    // it does not know of the latest fail-over yet, so its report is not about this primary
    if (view.epoch < latest) return { doubt: '' };
    if (target === undefined || nodeName(view) !== nodeName(target))
      return { doubt: 'a Sentinel names another primary' };
    return { doubt: view.isDown ? 'a Sentinel reports the primary as down' : '' };
  });
}
