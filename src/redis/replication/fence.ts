// The fence: decides whether a node that lacks a write may be the primary, or become it soon, although a majority has confirmed
// the write (docs/durability.md argues it case by case). It has no side effects; fence-check.ts gathers the evidence.
import type { Answer, NodeReport } from './node-report.js';

/** What a Sentinel, or another primary of a Cluster, reports about the primary. */
export interface Witness {
  /** Why it does not confirm that the primary still leads; '' if it does. */
  doubt: string;
}

export interface Evidence {
  /** What the node that took the write reports about itself, asked after the write was confirmed. */
  primary: NodeReport;
  /** What all other known nodes report. */
  others: readonly Answer[];
  /** The reports of those that were queried; undefined: no answer. Empty if there are neither Sentinels nor other primaries. */
  witnesses: readonly (Witness | undefined)[];
}

/**
 * Judges a batch that not every known replica has confirmed.
 * @returns why a node that lacks it may lead; '' if none can
 */
export function judge({ primary, others, witnesses }: Evidence): string {
  if (primary.role !== 'primary') return 'the node that took it is no longer the primary';
  const heard = witnesses.filter((witness) => witness !== undefined);
  const doubt = heard.find((witness) => witness.doubt !== '')?.doubt;
  if (doubt !== undefined) return doubt;
  // Each Sentinel runs beside a node, and no node is elected on a side of the network without a majority of Sentinels.
  const isMajority = witnesses.length === 0 || heard.length > witnesses.length / 2;
  // The Sentinel that leads a fail-over reports it until it names the new primary: if all confirm this one, no other leads.
  const isUnanimous = witnesses.length > 0 && heard.length === witnesses.length;
  for (const other of others) {
    if (other === 'unclear') return 'a node answers, but does not report its role';
    if (other === 'lost') {
      if (!isMajority) return 'a node cannot be reached, nor can most of those that watch over the primary';
      continue;
    }
    const relation = relationOf(other, primary);
    if (relation === 'after') return 'another node has been promoted';
    if (relation === 'unknown' && !isUnanimous) return 'another node leads, or follows one that does';
  }
  return '';
}

/**
 * How a node's replication lineage relates to the primary's. A promoted replica has a new replication id, and names the one
 * before.
 * - same: it is the primary, replicates it, or replicates nobody at the moment
 * - before: it is, or still replicates, a primary that this one has replaced
 * - after: it is, or replicates, a node that was promoted from a replica of this primary
 */
function relationOf(
  { role, isLinkUp, lineage }: NodeReport,
  primary: NodeReport,
): 'same' | 'before' | 'after' | 'unknown' {
  if (lineage.id === primary.lineage.id || (role === 'replica' && !isLinkUp)) return 'same';
  if (lineage.before === primary.lineage.id) return 'after';
  return lineage.id === primary.lineage.before ? 'before' : 'unknown';
}
