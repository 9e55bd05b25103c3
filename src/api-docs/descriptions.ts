// Describes message types, fields and replies for openapi.json; the schemas of requests are in messages/.
import { MAX_ADDRESS } from '../config/limits.js';
import { STATES, cursorPattern } from '../queue/peek.js';
import type { FieldName } from '../messages/fields.js';
import type { RequestName } from '../messages/message-type.js';

/** A JSON Schema (2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The type parameter makes the compiler name the row that lacks something. */
export interface Description<_Name extends RequestName> {
  summary: string;
  /** Rules that Joi checks and that its JSON Schema does not contain. */
  also?: JsonSchema;
  /** The variants of a successful reply: its fields beside code, status and msg_type; []: the request never succeeds. */
  replies: readonly Readonly<Record<string, JsonSchema>>[];
}

const count = (description: string): JsonSchema => ({ type: 'integer', minimum: 0, description });
const timeMs = (description: string): JsonSchema => count(`${description}, ms since 1970 by Redis's clock`);
const address = (description: string): JsonSchema => ({
  type: 'integer',
  minimum: 0,
  maximum: MAX_ADDRESS,
  description,
});
const id: JsonSchema = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const text = (description: string): JsonSchema => ({ type: 'string', description });

/** The schema of an object with these fields and no others; a name that ends in ? marks an optional field. */
export const object = (fields: Readonly<Record<string, JsonSchema>>): JsonSchema => ({
  type: 'object',
  properties: Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name.replace('?', ''), schema])),
  required: Object.keys(fields).filter((name) => !name.endsWith('?')),
  additionalProperties: false,
});

const MESSAGE = {
  saddr: address('its sender'),
  daddr: address('its receiver'),
  id,
  payload: { description: 'exactly as it was sent' },
};

const RECEIPT = { type: 'string', maxLength: 64, description: 'the name of this delivery' };

const DELIVERED = {
  ...MESSAGE,
  'delivery?': object({
    receipt: RECEIPT,
    attempt: { type: 'integer', minimum: 1, description: 'which delivery of the message this is' },
    sent_at_ms: timeMs('when it was sent'),
    lease_until_ms: timeMs('when the lease ends'),
    'traceparent?': text('that of the SEND, if it had one'),
  }),
};

const SETTINGS = object({
  'visibility_timeout_ms?': count('instead of AIZUMI_VISIBILITY_TIMEOUT_MS'),
  'max_deliveries?': count('instead of AIZUMI_MAX_DELIVERIES'),
  'max_queue_length?': count('instead of AIZUMI_MAX_QUEUE_LENGTH'),
  'max_queue_bytes?': count('instead of AIZUMI_MAX_QUEUE_BYTES'),
  'ttl_ms?': count('time to live of messages that were sent without one'),
});

export const QUEUE = {
  address: address('the receiver whose queue it is'),
  waiting: count('messages to be received'),
  leased: count('messages that were received and not freed, and whose lease has not ended'),
  delayed: count('messages not due yet'),
  dead: count('messages delivered too often'),
  expired: count('messages deleted because their time to live had ended'),
  oldest_ms: count('age of the first message, ms'),
  bytes: count('bytes that its messages take in Redis, including dead ones'),
  settings: SETTINGS,
};

const seen = (more: Readonly<Record<string, JsonSchema>>): JsonSchema =>
  object({ ...MESSAGE, sent_at_ms: timeMs('when it was sent'), attempts: count('deliveries so far'), ...more });

const SEEN: JsonSchema = {
  anyOf: [
    { title: 'waiting', ...seen({}) },
    { title: 'leased', ...seen({ lease_until_ms: timeMs('when the lease ends'), receipt: RECEIPT }) },
    { title: 'delayed', ...seen({ due_at_ms: timeMs('when it can be received') }) },
    { title: 'dead', ...seen({ cause: { enum: ['max_deliveries'] }, died_at_ms: timeMs('when it died') }) },
  ],
};

/** What each field means, in every request that may have it. */
export const FIELDS: Readonly<Record<FieldName, string>> = {
  msg_type: 'which request this is: its name or its number',
  saddr: 'the client: the sender in SEND, the receiver in all others',
  daddr: 'the other side: the receiver in SEND, the broker (5000) in all others',
  id: "the message's number, chosen by its sender; ignored where it has no meaning",
  payload: 'what the message carries, any JSON value; ignored where it has no meaning',
  durability: 'which nodes must have the message before the reply; default: AIZUMI_DURABILITY',
  dedup: 'true: this SEND may be a repetition, and adds one message however often it is sent',
  delay_ms: 'how long from now the message cannot be received',
  ttl_ms: 'how long the message lives',
  traceparent: 'of W3C Trace Context; is passed on to the RECV. Without it the HTTP header of this name is used',
  wait_ms: 'how long to wait for a message, if there is none',
  max: 'most messages in the reply',
  visibility_timeout_ms: 'when the lease ends, counted from now',
  details: 'true: return more about each delivery',
  attempt_id: 'this RECV may be a repetition: the messages that the first one took are returned again',
  ids: 'the numbers of several messages',
  receipt: 'the delivery that must still be held, as RECV with details returns it',
  settings: "settings of this queue alone, instead of the broker's; null resets one",
  count: 'false: this delivery does not count as an attempt',
  state: 'the state of the messages',
  cursor: 'the cursor that the previous page returned',
};

export const DESCRIPTIONS: { readonly [Name in RequestName]: Description<Name> } = {
  MSG_SEND_REQ: {
    summary: 'Adds a message to the queue of daddr. The first one creates the queue.',
    replies: [{}],
  },
  MSG_RECV_REQ: {
    summary: 'Takes the next message of the queue of saddr, or several, under a lease.',
    replies: [DELIVERED, { messages: { type: 'array', minItems: 1, items: object(DELIVERED) } }],
  },
  MSG_FREE_REQ: {
    summary: 'Deletes a message that saddr holds and has processed, or several.',
    also: {
      anyOf: [{ required: ['id'] }, { required: ['ids'] }],
      dependentSchemas: { ids: { properties: { receipt: false } } },
    },
    replies: [{}, { freed: count('messages that were deleted'), missing: { type: 'array', items: id } }],
  },
  MSG_PUSH_REQ: { summary: 'Not supported: use RECV.', replies: [] },
  MSG_PUSH_ACK: { summary: 'Not supported.', replies: [] },
  MSG_HELO_REQ: {
    summary: 'Creates the queue of saddr before its first message, or changes its settings.',
    replies: [{}],
  },
  MSG_STAT_REQ: {
    summary: 'Returns the state of the broker and of the queue of saddr.',
    replies: [
      {
        payload: object({
          broker: object({
            id: address('AIZUMI_BROKER_ID'),
            version: text('of aizumi'),
            uptime_ms: count('since the start, ms'),
            queues: count('addresses that have a queue'),
          }),
          queue: { anyOf: [object(QUEUE), { type: 'null' }], description: 'null: the address has none' },
        }),
      },
    ],
  },
  MSG_GBYE_REQ: {
    summary:
      'Returns all messages that receivers of saddr hold to its queue, and removes the queue if it is empty. ' +
      'Not for the shutdown of one of several receivers.',
    replies: [{}],
  },
  MSG_KEEP_REQ: { summary: 'Sets a new end of the lease of a message that saddr holds.', replies: [{}] },
  MSG_BACK_REQ: {
    summary: 'Returns a message that saddr holds to its queue, to be redelivered now or later.',
    replies: [{}],
  },
  MSG_PEEK_REQ: {
    summary: 'Returns messages of the queue of saddr that are in one state, and changes nothing.',
    also: {
      anyOf: STATES.map((state) => ({
        properties: { state: { const: state }, cursor: { pattern: cursorPattern(state) } },
      })),
    },
    replies: [
      {
        messages: { type: 'array', items: SEEN },
        cursor: { type: ['string', 'null'], description: 'where the next page begins; null: this is the last page' },
      },
    ],
  },
  MSG_MOVE_REQ: {
    summary: 'Moves dead messages back into the queue of saddr.',
    replies: [{ count: count('messages moved back, at most 1000') }],
  },
  MSG_DROP_REQ: {
    summary: 'Deletes messages of the queue of saddr that are not leased.',
    replies: [
      { count: count('with ids: messages deleted, at most 1000') },
      {
        count: count('without ids: messages deleted'),
        more: {
          type: 'boolean',
          description: 'true: the 10 s of this request ended before all were deleted: send it again',
        },
      },
    ],
  },
};
