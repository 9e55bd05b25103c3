// The fields that requests are made of, and what a message type is made of.
import Joi from 'joi';
import type { Access, Action } from '../access/permissions.js';
import { BrokerError } from '../errors.js';
import type { Observer } from '../observe/observer.js';
import type { Queues } from '../queue/queues.js';
import type { Room } from '../queue/room.js';
import type { Caller, Waiting } from '../queue/waiting/waiting.js';
import type { Durability } from '../redis/replication/durable-writes.js';
import type { Traces } from '../observe/tracing.js';

/** What a handler works with. */
export interface Broker {
  readonly queues: Queues;
  readonly waiting: Waiting;
  /** Of a SEND that does not ask for another. */
  readonly durability: Durability;
  readonly id: number;
  readonly version: string;
  /** When the broker started, ms since 1970. */
  readonly startedAtMs: number;
  /** Who counts requests; undefined: nobody. */
  readonly observer?: Observer | undefined;
  /** Who traces requests; undefined: nobody. */
  readonly traces?: Traces | undefined;
}

/**
 * Every request. To add one, begin here: the compiler then names the tables that lack it (index.ts, descriptions.ts, examples.ts)
 * and, in its own file, what {@link MessageType} asks for.
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

/** What is written down of a request: an operator may ask later who has done it. */
export interface Deed {
  readonly request: RequestName;
  readonly address: number;
  /** Messages that it was about, or settings. */
  readonly count?: number;
  /** It may have been done, in part or wholly. */
  readonly outcome?: 'unknown';
  readonly settings?: object;
}

/** Who sent the request. */
export interface Client extends Caller {
  readonly access: Access;
  /** What came with the HTTP request, if it is a valid one. */
  readonly traceparent?: string | undefined;
  /** A message's, for the reply's header; has no effect in a batch. */
  answerTraceparent(traceparent: string): void;
  /** What is to be done when there is nobody left to be answered. */
  onUnanswered(undo: () => Promise<void>): void;
  /** Writes the audit log; undefined: there is none. */
  audit?(deed: Deed): void;
  /** Where the messages that it asks for must fit. */
  readonly room: Room;
  /**
   * Resolves when it may keep the event loop busy for some milliseconds; others come in between.
   * @param isBegun it goes on with what has begun: it comes before the client's other requests
   */
  turn(isBegun?: boolean): Promise<void>;
  /** The body is a batch of so many requests; before any is started. @throws BrokerError overloaded */
  startBatch(size: number): void;
  /** A RECV begins to wait. @throws BrokerError overloaded, rate_limited: it must not */
  startWait(): void;
  /** It waits no longer. */
  endWait(): void;
  /** Counts a valid request of this address; undefined without a limit. @throws BrokerError rate_limited */
  readonly count?: ((saddr: number) => void) | undefined;
}

/** A request as JSON.parse gives it. */
export type Fields = Readonly<Record<string, unknown>>;

/** A row of the table of message types. */
export interface MessageType {
  /** The request's number in the seed's table. */
  readonly number: number;
  readonly request: RequestName;
  readonly reply: `MSG_${string}_ACK`;
  /** What the client must be allowed to do as, or with, the address in each field; undefined: nothing. */
  readonly needs: { readonly saddr: Action | undefined; readonly daddr?: Action };
  /** Of saddr, as good as what it needs. */
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
   * Of a type that waits for no slice's turn: what a request counts in what its client has under way (queue/light-turns.ts); 0:
   * this one takes turns.
   * @param fields valid by `schema`
   */
  readonly cost?: (fields: never, payload: string) => number;
  /**
   * Of a type whose requests to one address keep their order in a batch: which way they go to Redis. Those that take one way
   * do by themselves.
   */
  readonly way?: (fields: Fields) => string;
}

export interface Addressed {
  saddr: number;
  daddr: number;
}

/** The variant of a schema that says what is wrong in the words of this protocol. */
export const EXPLAINED = 'explained';

/**
 * A required integer from `min` to `max`. Its own words are in a variant of the schema (`.tailor(EXPLAINED)`), for requests that
 * failed: Joi merges a field's messages at each validation, which costs 4 µs.
 */
export const integer = (min: number, max: number): Joi.NumberSchema =>
  Joi.number()
    .integer()
    .min(min)
    .max(max)
    .required()
    .alter({
      [EXPLAINED]: (schema) =>
        schema.messages({
          'any.required': '{{#label}} is required',
          '*': `{{#label}} must be an integer from ${min} to ${max}, a JSON number`,
        }),
    });

const MAX_ADDRESS = 0xffff_ffff;
const address = integer(0, MAX_ADDRESS);

export const isAddress = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ADDRESS;

/** Message ids are exact up to 2^53 − 1, in JSON numbers and in Redis's scores. */
export const messageId = integer(0, Number.MAX_SAFE_INTEGER);

/** Most messages that one request may be about. */
export const MOST_AT_ONCE = 1_000;

/** Ids of messages; the same one may come twice. */
export const messageIds = Joi.array()
  .items(messageId.optional())
  .min(1)
  .max(MOST_AT_ONCE)
  .alter({
    [EXPLAINED]: (schema) => schema.messages({ '*': `{{#label}} must be a list of 1 to ${MOST_AT_ONCE} ids` }),
  });

/** How long a message may be leased, ms: 12 hours, as in SQS. */
export const visibilityTimeoutMs = integer(0, 43_200_000);

/** How long a message may wait until it is due, ms: 7 days. */
export const delayMs = integer(0, 604_800_000);

/** How long a message may live, ms: a year. */
export const ttlMs = integer(1, 31_536_000_000);

/** A text of `max` characters at most. */
export const text = (max: number): Joi.StringSchema =>
  Joi.string()
    .max(max)
    .alter({
      [EXPLAINED]: (schema) => schema.messages({ '*': `{{#label}} must be a string of 1 to ${max} characters` }),
    });

/** What the fields mean in any request. A schema has no others. */
export const FIELDS = {
  msg_type: 'which request this is: its name or its number',
  saddr: 'who asks: the sender in SEND, the receiver in all others',
  daddr: 'to whom: the receiver in SEND, the broker (5000) in all others',
  id: "the message's number, chosen by its sender; ignored where it means nothing",
  payload: 'what the message carries, any JSON value; ignored where it means nothing',
  durability: 'who must have the message before the answer: default AIZUMI_DURABILITY',
  dedup: 'true: this SEND may be a repetition, and adds one message however often it comes',
  delay_ms: 'the message cannot be received before so long from now',
  ttl_ms: 'the message is thrown away after so long',
  traceparent: 'of W3C Trace Context; travels to the RECV. Without it the HTTP header of this name counts',
  wait_ms: 'wait so long for a message, if none is there',
  max: 'most messages in the reply',
  visibility_timeout_ms: 'the lease ends so long from now',
  details: 'true: tell more of each delivery',
  attempt_id: 'this RECV may be a repetition: what the first one took is told again',
  ids: 'the numbers of several messages',
  receipt: 'the delivery that must still be held, as RECV with details tells it',
  settings: 'what this queue does otherwise than the broker by itself; null takes one back',
  count: 'false: this delivery was no attempt',
  state: 'which messages',
  cursor: 'of the page before',
};

type FieldSchemas = { readonly [Name in keyof typeof FIELDS]?: Joi.Schema };

/**
 * A request's schema. Clients built on a fixed struct send all five fields every time, so id and payload are allowed
 * everywhere; `fields` says more of them where they matter. Any other field is refused by its name.
 */
export const requestSchema = (fields: FieldSchemas = {}): Joi.ObjectSchema =>
  Joi.object({
    msg_type: Joi.any(),
    saddr: address,
    daddr: address,
    id: Joi.any(),
    payload: Joi.any(),
    ...fields,
  }).prefs({
    abortEarly: false,
    convert: false,
    errors: { wrap: { label: false } },
    messages: { 'object.unknown': '{{#key}} is not a field of this request' },
  });

/** FREE, KEEP and BACK name a message that the receiver holds. */
export interface Held extends Addressed {
  id: number;
  receipt?: string;
}

/** The name of one delivery, as RECV with details tells it. */
export const receipt = text(64);

export const notDelivered = (): BrokerError =>
  new BrokerError(
    'not_delivered',
    'you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended',
  );

/** The start of every successful reply, in the seed's order of keys. */
export const replyHead = (reply: string): string => `{"code":200,"status":"OK","msg_type":"${reply}"`;

/** A successful reply without further fields. */
export const plainReply = (reply: string): string => `${replyHead(reply)}}`;

/**
 * Carries out what is to be audited.
 * @param act returns how many messages it was about, or settings
 * @param isWorthIt whether that many are worth a line; what may have been done always is
 */
export async function audited(
  client: Pick<Client, 'audit'>,
  deed: Deed,
  act: () => Promise<number>,
  isWorthIt = (count: number): boolean => count >= 0,
): Promise<number> {
  try {
    const count = await act();
    if (isWorthIt(count)) client.audit?.({ ...deed, count });
    return count;
  } catch (error) {
    if (error instanceof BrokerError && error.outcome === 'unknown') client.audit?.({ ...deed, outcome: 'unknown' });
    throw error;
  }
}
