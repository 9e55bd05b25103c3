// The parts of a message type: the names of all requests, the row of the table, and what its handler receives.
import type Joi from 'joi';
import type { Access, Action } from '../access/permissions.js';
import type { Observer } from '../observe/observer.js';
import type { Traces } from '../observe/tracing.js';
import type { Queues } from '../queue/queues.js';
import type { Room } from '../queue/room.js';
import type { Caller, Waiting } from '../queue/waiting/waiting.js';
import type { Durability } from '../redis/replication/durable-writes.js';

/**
 * Every request. To add one, begin here: the compiler then names the tables that lack it (table.ts, and in api-docs/
 * descriptions.ts and examples.ts) and, in its own file, what {@link MessageType} requires.
 */
export type RequestName =
  | 'MSG_SEND_REQ'
  | 'MSG_RECV_REQ'
  | 'MSG_FREE_REQ'
  | 'MSG_PUSH_REQ'
  | 'MSG_PUSH_ACK'
  | 'MSG_HELO_REQ'
  | 'MSG_STAT_REQ'
  | 'MSG_GBYE_REQ'
  | 'MSG_KEEP_REQ'
  | 'MSG_BACK_REQ'
  | 'MSG_PEEK_REQ'
  | 'MSG_MOVE_REQ'
  | 'MSG_DROP_REQ';

/** A request's fields, as JSON.parse returns them. */
export type Fields = Readonly<Record<string, unknown>>;

/** A row of the table of message types. */
export interface MessageType {
  /** The request's number in the protocol. */
  readonly number: number;
  readonly request: RequestName;
  readonly reply: `MSG_${string}_ACK`;
  /** The permission that the client must have for the address in each field; undefined: none. */
  readonly needs: { readonly saddr: Action | undefined; readonly daddr?: Action };
  /** A permission for saddr that is enough instead of `needs.saddr`. */
  readonly orNeeds?: Action;
  /** Undefined: the request is answered whatever its fields are. */
  readonly schema: Joi.ObjectSchema | undefined;
  /**
   * @param fields the request, valid by `schema`
   * @param payload the JSON text of its field payload
   * @returns the reply, JSON text
   */
  readonly handle: (fields: never, broker: Broker, payload: string, client: Client) => Promise<string>;
  /**
   * What a request adds to the work that its client has under way (queue/light-turns.ts). 0, or no function: it adds nothing,
   * because its operation is done in slices, which take turns themselves.
   * @param fields valid by `schema`
   */
  readonly cost?: (fields: never, payload: string) => number;
  /**
   * Which route a request takes to Redis, where requests of a batch to one address must stay in order. Requests that take the
   * same route stay in order by themselves.
   */
  readonly route?: (fields: Fields) => string;
}

/** What a handler works with. */
export interface Broker {
  readonly queues: Queues;
  readonly waiting: Waiting;
  /** Of a SEND that does not name another. */
  readonly durability: Durability;
  readonly id: number;
  readonly version: string;
  /** When the broker started, ms since 1970. */
  readonly startedAtMs: number;
  /** Counts requests; undefined: they are not counted. */
  readonly observer?: Observer | undefined;
  /** Traces requests; undefined: they are not traced. */
  readonly traces?: Traces | undefined;
}

/** Who sent the request. */
export interface Client extends Caller {
  readonly access: Access;
  /** The HTTP request's header of this name, if it is valid. */
  readonly traceparent?: string | undefined;
  /** Sets the reply's header to that of a message; has no effect in a batch. */
  answerTraceparent(traceparent: string): void;
  /** Registers what is to be undone if the reply cannot be delivered. */
  onUnanswered(undo: () => Promise<void>): void;
  /** Writes to the audit log; undefined: there is none. */
  audit?(deed: Deed): void;
  /** Where the messages that it receives must fit. */
  readonly room: Room;
  /**
   * Resolves when the request may keep the event loop busy for some milliseconds; other clients' work is done in between.
   * @param isBegun it continues work that has begun, and goes before the client's other requests
   */
  turn(isBegun?: boolean): Promise<void>;
  /** Called before any request of a batch is started. @throws BrokerError overloaded */
  startBatch(size: number): void;
  /** To be called when a RECV begins to wait. @throws BrokerError overloaded, rate_limited: then it must not wait */
  startWait(): void;
  /** To be called when that RECV waits no longer. */
  endWait(): void;
  /** Counts a valid request of this address; undefined without a limit. @throws BrokerError rate_limited */
  readonly count?: ((saddr: number) => void) | undefined;
}

/** An entry of the audit log: what a client did. */
export interface Deed {
  readonly request: RequestName;
  readonly address: number;
  /** How many messages or settings were affected. */
  readonly count?: number;
  /** It may have been done, in part or wholly. */
  readonly outcome?: 'unknown';
  readonly settings?: object;
}

/** Every request has these two addresses. */
export interface Addressed {
  saddr: number;
  daddr: number;
}

/** FREE, KEEP and BACK name a message that the receiver holds. */
export interface Held extends Addressed {
  id: number;
  receipt?: string;
}
