// Unplanned losses of processes and nodes.
import { setTimeout as pause } from 'node:timers/promises';
import type { Event } from './event.js';
import { dnsPods } from './dns.js';
import { kill } from './kill.js';
import { inAizumi } from './kubectl.js';
import { handOverTo } from './primary.js';
import type { Tool } from './step.js';

/** Longer than a fail-over, shorter than Kubernetes takes to notice that a node is gone. */
const CUT_MS = 30_000;

export const killPrimary = (): Event => ({
  name: 'the primary killed',
  strike: (primary) => kill(primary, 'redis'),
});

export const killAll = (): Event => ({
  name: 'all pods killed',
  strike: () => inAizumi('delete', 'pods', '--all', '--force', '--grace-period=0', '--wait=false'),
});

/** @param tool the commands that cut a node off and mend it */
export function cutPrimary({ cut, mend }: Tool, withDns: boolean): Event {
  let node = '';
  const hasDns = async (): Promise<Set<string>> => new Set((await dnsPods()).map((pod) => pod.node));
  return {
    name: withDns
      ? "the primary's node cut off, a CoreDNS pod on it"
      : "the primary's node cut off, no CoreDNS pod on it",
    bound: 'failover',
    prepare: async () => {
      const nodes = await hasDns();
      await handOverTo((primary) => nodes.has(primary.node) === withDns);
    },
    strike: async (primary) => {
      node = primary.node;
      await cut(node);
      await pause(CUT_MS);
    },
    mend: () => mend(node),
  };
}
