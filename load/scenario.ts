// What a scenario is: variants of queues, of messages that wait, and of what connections say.
import type { Conversation } from './conversation.js';
import type { Run } from './exchange.js';

export interface LoadOptions {
  connections: number;
  /** Of the timed part; undefined: the scenario's own. */
  durationS?: number | undefined;
  /** Load like that of the timed part, before it, and not counted; 0 without. */
  warmUpS?: number | undefined;
  /** Requests per second over all connections, an open loop; undefined: as fast as the answers come. */
  rate?: number | undefined;
  timeoutS: number;
  /** Of `backlog`: messages that wait. */
  waiting: number;
  firstAddress?: number | undefined;
  keep: boolean;
  /** Between a soak's samples. */
  sampleS?: number | undefined;
}

export interface Variant {
  /** '' where there is only one. */
  name: string;
  queues: number;
  leastConnections?: number;
  /** Characters; 100 without. */
  payloadLength?: number;
  durationS?: number;
  /** Messages that wait before the clock starts; fewer where that takes longer than `waitingWithinS`. */
  waiting?: number;
  waitingWithinS?: number;
  /** Whether the timed part is sampled. */
  samples?: boolean;
  /** Why the deployment cannot do this, if it cannot. */
  probe?(run: Run): Conversation<string | undefined>;
  /** What one of the connections says. Called once for each, in order, before the clock starts. */
  talk(run: Run, connection: number): Conversation;
}

export interface Scenario {
  name: string;
  /** One line for people. */
  summary: string;
  variants(options: LoadOptions): Variant[];
}
