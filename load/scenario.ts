// The type of a scenario: its variants of queues, of waiting messages, and of what connections do.
import type { Conversation } from './conversation.js';
import type { Run } from './exchange.js';

export interface LoadOptions {
  connections: number;
  /** Length of the timed part; undefined: the scenario's own. */
  durationS?: number | undefined;
  /** Length of the warm-up: the same load before the timed part, not measured; 0 for none. */
  warmUpS?: number | undefined;
  /** Requests per second over all connections, as an open loop; undefined: as fast as the replies arrive. */
  rate?: number | undefined;
  timeoutS: number;
  /** Waiting messages of the scenario `backlog`. */
  waiting: number;
  firstAddress?: number | undefined;
  keep: boolean;
  /** Time between the samples of a soak. */
  sampleS?: number | undefined;
}

export interface Variant {
  /** '' if there is only one variant. */
  name: string;
  queues: number;
  leastConnections?: number;
  /** In characters; default: 100. */
  payloadLength?: number;
  durationS?: number;
  /** Messages to be sent before the timed part; fewer if that takes longer than `waitingWithinS`. */
  waiting?: number;
  waitingWithinS?: number;
  /** Whether the timed part is sampled. */
  samples?: boolean;
  /** @returns why the deployment cannot run this, if it cannot */
  probe?(run: Run): Conversation<string | undefined>;
  /** The conversation of one connection. Called once for each, in order, before the timed part. */
  talk(run: Run, connection: number): Conversation;
}

export interface Scenario {
  name: string;
  /** A description of one line. */
  summary: string;
  variants(options: LoadOptions): Variant[];
}
