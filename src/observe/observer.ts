// The events that the layers report for metrics (observe/metrics/ implements it). The layers import this interface only. Without
// metrics there is no Observer, which costs nothing.
import type { Reason } from '../errors.js';

/** Times are ms. Nothing here may throw or take more than about a microsecond: it is called for every request. */
export interface Observer {
  /**
   * A request of a known type was carried out.
   * @param msgType the request's name
   * @param reason why it failed; undefined: it succeeded
   * @param isWait it was a RECV that may wait, so its time is not a latency
   */
  answered(msgType: string, reason: Reason | undefined, tookMs: number, isWait: boolean): void;
  /** A request was refused before its type was known. */
  refused(reason: Reason): void;
  /** A limit refused a client. @param address the queue, if the limit is a queue's */
  limited(limit: Limit, address?: number): void;
  /** A connection was closed because its client had stopped reading its reply. */
  stalled(): void;
  /** A RECV poll of the queue of `address` delivered these messages, and moved `died` others to the dead stream. */
  delivered(address: number, deliveries: readonly { readonly attempt: number }[], died: number): void;
  /** One WAIT for a batch of writes has ended, confirmed or not, after `tookMs`. */
  committed(writes: number, tookMs: number): void;
  readonly connections: Readonly<Record<ConnectionName, ConnectionObserver>>;
}

/** The limits behind a 429. Each is a setting: client_queues is AIZUMI_MAX_CLIENT_QUEUES. */
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
