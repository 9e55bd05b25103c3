// The steps of the program, in order: rows of the table, and checks that pass or fail.
import type { Row } from './event.js';
import type { Installed } from './install.js';

export interface Check {
  name: string;
  /** What was seen; with `broken` what is wrong. */
  seen: string;
  broken?: boolean;
}

/** Commands that cut a node off from the network, and mend it: only who made the cluster knows how. */
export interface Tool {
  cut: (node: string) => Promise<unknown>;
  mend: (node: string) => Promise<unknown>;
}

export interface Context {
  installed: Installed;
  overlay: string;
  tool: Tool | undefined;
  /** SENDs, over all connections, while something happens. */
  perSecond: number;
  /** Whether nobody else uses the cluster, or so it was said. */
  isAlone: boolean;
  /** Where logs are kept; not at all without it. */
  logs: string | undefined;
}

export interface Step {
  /** Why it cannot be run here; undefined when it can. */
  unless?: (context: Context) => Promise<string | undefined>;
  run: (context: Context) => Promise<(Row | Check)[]>;
}

export const isRow = (result: Row | Check): result is Row => 'event' in result;
