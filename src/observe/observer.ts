// The events that the layers report for metrics (observe/metrics/ implements it). The layers import this interface only. Without
// metrics there is no Observer, which costs nothing.
import type { Reason } from '../errors.js';

/** Times are ms. Nothing here may throw or take more than about a microsecond: it is called for every request. */
export interface Observer {
  /**
   * A request of a known type was carried out.
   * @param msgType the request's name
   * @param reason why it was not done; undefined: it was
   * @param isWait it was a RECV that may wait: its time is no latency
   */
  answered(msgType: string, reason: Reason | undefined, tookMs: number, isWait: boolean): void;
  /** A request was refused before its type was known. */
  refused(reason: Reason): void;
  /** A limit refused a client; of a queue's own limit also which queue's. */
  limited(limit: Limit, address?: number): void;
  /** A connection was closed because its client had stopped reading its reply. */
  stalled(): void;
  /** A RECV poll of the queue of `address` delivered these messages, and moved `died` others to the dead stream. */
  delivered(address: number, deliveries: readonly { readonly attempt: number }[], died: number): void;
  /** A batch of writes was confirmed by one WAIT, or was not; `tookMs`: how long that waited. */
  committed(writes: number, tookMs: number): void;
  readonly connections: Readonly<Record<ConnectionName, ConnectionObserver>>;
}

/** What a 429 was for; each is a setting, AIZUMI_MAX_CLIENT_QUEUES of client_queues. */
export const LIMITS = [
  'client_requests',
  'address_requests',
  'client_queues',
  'client_bytes',
  'queue_length',
  'queue_bytes',
] as const;
export type Limit = (typeof LIMITS)[number];

/** main: most commands; durable: SENDs at `quorum` and `all`; waiting: polls for RECVs that wait. */
export type ConnectionName = 'main' | 'durable' | 'waiting';

export interface ConnectionObserver {
  /** Commands sent; the sender increments it. */
  commands: number;
  /** One of the commands was answered. */
  roundTrip(tookMs: number): void;
}
