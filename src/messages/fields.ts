// The fields that requests are made of, as Joi schemas.
import Joi from 'joi';
import {
  MAX_ADDRESS,
  MAX_DELAY_MS,
  MAX_MESSAGES_AT_ONCE,
  MAX_NAME_CHARACTERS,
  MAX_TTL_MS,
  MAX_VISIBILITY_TIMEOUT_MS,
} from '../config/limits.js';

/** The variant of a schema whose messages are in the words of this protocol. */
export const EXPLAINED = 'explained';

/**
 * A required integer from `min` to `max`. Its messages are in a variant of the schema (`.tailor(EXPLAINED)`), which is used for
 * requests that failed only: Joi merges a field's messages at each validation, which costs 4 µs.
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

const address = integer(0, MAX_ADDRESS);

export const isAddress = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ADDRESS;

/** Message ids are exact up to 2^53 − 1, in JSON numbers and in Redis's scores. */
export const messageId = integer(0, Number.MAX_SAFE_INTEGER);

/** Ids of messages; the same one may occur twice. */
export const messageIds = Joi.array()
  .items(messageId.optional())
  .min(1)
  .max(MAX_MESSAGES_AT_ONCE)
  .alter({
    [EXPLAINED]: (schema) => schema.messages({ '*': `{{#label}} must be a list of 1 to ${MAX_MESSAGES_AT_ONCE} ids` }),
  });

export const visibilityTimeoutMs = integer(0, MAX_VISIBILITY_TIMEOUT_MS);

export const delayMs = integer(0, MAX_DELAY_MS);

export const ttlMs = integer(1, MAX_TTL_MS);

/** A string of at most `max` characters. */
export const text = (max: number): Joi.StringSchema =>
  Joi.string()
    .max(max)
    .alter({
      [EXPLAINED]: (schema) => schema.messages({ '*': `{{#label}} must be a string of 1 to ${max} characters` }),
    });

/** The name of one delivery, which RECV with details returns. */
export const receipt = text(MAX_NAME_CHARACTERS);

/** Every field that a request may have. api-docs/descriptions.ts does not compile while one is not described there. */
export type FieldName =
  | 'msg_type'
  | 'saddr'
  | 'daddr'
  | 'id'
  | 'payload'
  | 'durability'
  | 'dedup'
  | 'delay_ms'
  | 'ttl_ms'
  | 'traceparent'
  | 'wait_ms'
  | 'max'
  | 'visibility_timeout_ms'
  | 'details'
  | 'attempt_id'
  | 'ids'
  | 'receipt'
  | 'settings'
  | 'count'
  | 'state'
  | 'cursor';

/**
 * A request's schema. Clients built on a fixed struct send all five fields every time, so id and payload are allowed
 * everywhere; `fields` defines them where they have a meaning. Any other field is refused by its name.
 */
export const requestSchema = (fields: Readonly<Partial<Record<FieldName, Joi.Schema>>> = {}): Joi.ObjectSchema =>
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
