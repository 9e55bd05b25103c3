// The fence: whether a node that lacks a write may lead, or soon, although a majority has confirmed the write to this primary
// (docs/durability.md argues it case by case). Pure; who asks is fence-check.ts.
import type { Answer, NodeReport } from './node-report.js';

/** What a Sentinel, or another node of a Cluster, reports about the primary. */
export interface Witness {
  /** Why it cannot vouch for the primary; '': it does. */
  doubt: string;
}

export interface Evidence {
  /** What the node that took the write reports about itself, asked after the write was confirmed. */
  primary: NodeReport;
  /** What all other known nodes report. */
  others: readonly Answer[];
  /** Of those that were asked; undefined: no answer. Empty where nobody watches over the primary. */
  witnesses: readonly (Witness | undefined)[];
}

/**
 * Judges a batch that not every known replica has confirmed.
 * @returns why a node that lacks it may lead; '' when none does
 */
export function judge({ primary, others, witnesses }: Evidence): string {
  if (primary.role !== 'primary') return 'the node that took it is no primary any more';
  const heard = witnesses.filter((witness) => witness !== undefined);
  const doubt = heard.find((witness) => witness.doubt !== '')?.doubt;
  if (doubt !== undefined) return doubt;
  // Each Sentinel stands beside a node: a side of the network without a majority of them elects nobody.
  const isMajority = witnesses.length === 0 || heard.length > witnesses.length / 2;
  // The Sentinel that leads a fail-over reports it until it names the new primary: when all vouch for this one, no other leads.
  const isUnanimous = witnesses.length > 0 && heard.length === witnesses.length;
  for (const other of others) {
    if (other === 'unclear') return 'a node answers, but does not say what it is';
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
 * By the ids of replication: a promoted replica gets a new one and names the one before.
 * same: it is the primary, follows it, or follows nobody at the moment. before: it is, or still follows, one that the primary has replaced.
 * after: it is, or follows, one that was promoted from the primary.
 */
function relationOf(
  { role, isLinkUp, lineage }: NodeReport,
  primary: NodeReport,
): 'same' | 'before' | 'after' | 'unknown' {
  if (lineage.id === primary.lineage.id || (role === 'replica' && !isLinkUp)) return 'same';
  if (lineage.before === primary.lineage.id) return 'after';
  return lineage.id === primary.lineage.before ? 'before' : 'unknown';
}
