// Reads from CLUSTER NODES which nodes belong to which shard, and remembers to which shard a failed primary belonged.
import type { Host } from '../../config/redis-url.js';
import { nodeName } from '../connect/cluster.js';

/** A primary, its replicas, and failed nodes that belonged to its shard. */
export interface Shard {
  /** How many nodes it has. */
  nodes: number;
  /** Their addresses, one for each node. */
  hosts: Host[];
}

/** A line of CLUSTER NODES. https://redis.io/docs/latest/commands/cluster-nodes/ */
interface Line {
  id: string;
  /** Address and host name: clients may know a node by either. */
  hosts: Host[];
  flags: string[];
  /** Id of its primary; '-' for a primary. */
  of: string;
  hasSlots: boolean;
}

/** Remembers, for one worker, how a Cluster was made up before it changed. */
export class ShardMemory {
  /** Node id → ids of the nodes that were last seen in one shard with it. */
  readonly #together = new Map<string, ReadonlySet<string>>();
  /** Node name → how many nodes its shard has; the number does not fall while a node has failed or lost its slots. */
  #counts = new Map<string, number>();

  /**
   * @param text CLUSTER NODES, from any node
   * @returns the shards, under the names of all their nodes, so that the quorum does not fall when a replica becomes the primary
   */
  learn(text: string): Map<string, Shard> {
    const lines = linesOf(text);
    const primaries = lines.filter((line) => isPrimary(line) && line.hasSlots);
    const orphans = lines.filter((line) => isPrimary(line) && !line.hasSlots && this.#isOrphan(line));
    const isWhole = orphans.length === 0 && lines.every(({ flags }) => !flags.some((flag) => flag.startsWith('fail')));
    const shards = new Map<string, Shard>();
    const counts = new Map<string, number>();
    for (const primary of primaries) {
      const present = [primary, ...lines.filter(({ of }) => of === primary.id)];
      const members = [...present, ...orphans.filter((orphan) => this.#mayBeOf(orphan, present))];
      const names = members.flatMap(({ hosts }) => hosts.map(nodeName));
      const before = isWhole ? 0 : Math.max(0, ...names.map((name) => this.#counts.get(name) ?? 0));
      const nodes = Math.max(members.length, before);
      for (const name of names) counts.set(name, nodes);
      const shard = { nodes, hosts: members.flatMap(({ hosts }) => hosts.slice(0, 1)) };
      for (const name of present.flatMap(({ hosts }) => hosts.map(nodeName))) shards.set(name, shard);
    }
    this.#remember(lines, primaries);
    this.#counts = isWhole ? counts : new Map([...this.#counts, ...counts]);
    return shards;
  }

  /** Whether a primary without slots has lost them. One that was never in a shard, and has not failed, is new. */
  #isOrphan({ id, flags }: Line): boolean {
    return this.#together.has(id) || flags.includes('fail');
  }

  /** An orphan counts for its own shard or, if that is unknown, for every shard: better a quorum too large than too small. */
  #mayBeOf(orphan: Line, present: Line[]): boolean {
    const together = this.#together.get(orphan.id);
    return together === undefined || present.some(({ id }) => together.has(id));
  }

  #remember(lines: Line[], primaries: Line[]): void {
    for (const primary of primaries) {
      const members = new Set([primary.id, ...lines.filter(({ of }) => of === primary.id).map(({ id }) => id)]);
      for (const id of members) this.#together.set(id, members);
    }
    const known = new Set(lines.map(({ id }) => id));
    for (const id of this.#together.keys()) if (!known.has(id)) this.#together.delete(id);
  }
}

/** Reads CLUSTER NODES of another node. @returns why the node `name` may not be the primary; '' if nothing speaks against it */
export function doubtsAbout(name: string, text: string): string {
  const line = linesOf(text).find(({ hosts }) => hosts.map(nodeName).includes(name));
  if (line === undefined) return 'another node of the Cluster does not know the primary';
  if (line.flags.some((flag) => flag.startsWith('fail')))
    return 'another node of the Cluster reports the primary as failed';
  return isPrimary(line) && line.hasSlots ? '' : 'another node of the Cluster has the slots now';
}

const isPrimary = ({ flags }: Line): boolean => flags.includes('master');

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [id = '', address = '', flags = '', of = '-', , , , , slots] = line.split(' ');
      return { id, hosts: hostsOf(address), flags: flags.split(','), of, hasSlots: Boolean(slots) };
    });

/** ip:port@busport[,hostname] */
function hostsOf(address: string): Host[] {
  const [, ip, port, hostname] = /^(.*):(\d+)@\d+(?:,([^,]*))?/.exec(address) ?? [];
  return [ip, hostname].flatMap((host) => (host ? [{ host, port: Number(port) }] : []));
}
