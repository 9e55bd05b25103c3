// Gathers the evidence for the fence (fence.ts) from the nodes themselves and from those that watch over them.
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { Host, RedisAddress, SentinelAddress } from '../../config/redis-url.js';
import { within } from '../../timing/timeout.js';
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
  /** The worker's connection: in a Cluster the other primaries are asked on it. */
  redis: RedisClient;
  /** The primary's name in a Cluster, '' elsewhere. */
  node: string;
  /** All nodes of the primary that are known, itself perhaps too. */
  hosts: () => readonly Host[];
  /** How many there are, the primary too; those whose address is not known count as lost. */
  nodes: () => number;
}

/** What has not answered by then is lost. A check must end well before what the last one found holds no longer (group-commit.ts). */
const ASK_MS = 300;
/** Where most Sentinels have not answered by then, they are waited for, for as long as this: without them nothing is vouched for. */
const LONGEST_MS = 800;
/** A packet that is lost holds up its connection for a second: others are tried at these times. */
const ATTEMPTS_MS = [0, 100, 250, 450];
/** Other primaries of a Cluster that are asked: whoever was elected tells all of them at once. */
const MOST_WITNESSES = 5;

/**
 * Asks whether a node that has not confirmed may lead, or soon. Takes {@link ASK_MS} at most, and a moment; {@link LONGEST_MS} while
 * most Sentinels do not answer.
 * @param writer the connection that the writes went through, to the node that took them
 * @returns why a batch that not all replicas confirmed must not be acknowledged; '' when it may
 */
export async function checkFence(writer: Redis, options: FenceOptions): Promise<string> {
  const { address, hosts, nodes } = options;
  const known = hosts();
  const [info, witnesses, ...answers] = await Promise.all([
    within(ASK_MS, askInfo(writer)),
    askWitnesses(writer, options),
    ...known.map(
      async (host) =>
        (await within(
          ASK_MS,
          firstAnswer(() => askNode(host, address)),
        )) ?? ('lost' as const),
    ),
  ]);
  if (info === undefined) return 'the primary does not answer any more';
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
      const text = await within(ASK_MS, other.cluster('NODES') as Promise<string>);
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
 * What Sentinels' views say of the primary.
 * @param target the address that the writer is connected to, in the Sentinels' own words
 */
export function witnessesOf(
  views: readonly (SentinelView | undefined)[],
  target: Host | undefined,
): (Witness | undefined)[] {
  const latest = Math.max(...views.map((view) => view?.epoch ?? -1));
  return views.map((view) => {
    if (view === undefined) return undefined;
    if (view.isFailingOver) return { doubt: 'a Sentinel says that a fail-over is under way' };
    // it has not heard of the latest fail-over yet: nothing that it says is about this primary
    if (view.epoch < latest) return { doubt: '' };
    if (target === undefined || nodeName(view) !== nodeName(target))
      return { doubt: 'a Sentinel names another primary' };
    return { doubt: view.isDown ? 'a Sentinel takes the primary for lost' : '' };
  });
}
