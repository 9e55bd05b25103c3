// The OpenAPI 3.1 document of aizumi's API, made from the table of message types and the table of errors.
import { REASONS } from '../errors.js';
import { QUEUE, object } from './descriptions.js';
import type { JsonSchema } from './descriptions.js';
import { describeTypes } from './json-schemas.js';
import type { Ceiling } from '../queue/own-settings.js';
import { paths, schema } from './openapi-paths.js';

export interface DocumentOptions {
  version: string;
  maxBatch: number;
  /** The highest values that HELO may set. */
  ceilings: readonly Ceiling[];
}

/** @returns a new document, as an object */
export function openApiDocument({ version, maxBatch, ceilings }: DocumentOptions): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'aizumi',
      version,
      summary: 'A message broker that any HTTP client can use',
      description:
        'Every request is one JSON object, POSTed to `/`: `msg_type` names it. A sender SENDs to a receiver’s address, the ' +
        'receiver RECVs the message and, when it has dealt with it, FREEs it. A body may also be an array of requests; ' +
        'the reply is then an array of replies.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    // with and without: whether credentials are needed depends on the broker's settings
    security: [{}, { bearer: [] }],
    tags: [
      { name: 'messages', description: 'Requests of senders and receivers' },
      { name: 'queues', description: 'The state of the queues' },
      { name: 'probes', description: 'For orchestrators and load balancers' },
    ],
    paths: paths(maxBatch),
    components: {
      schemas: schemas(maxBatch, ceilings),
      headers: {
        'Retry-After': { description: 'when to try again, s', schema: { type: 'integer', minimum: 1 } },
        'X-Request-Id': {
          description: "the request's id in aizumi's log; the client's own if it sent one",
          schema: { type: 'string' },
        },
        'WWW-Authenticate': { description: 'Bearer', schema: { type: 'string' } },
        Allow: { description: 'the methods that the path has', schema: { type: 'string' } },
        traceparent: {
          description: 'that of the message, in the reply to a RECV of one message that was sent with one',
          schema: { type: 'string' },
        },
      },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A key or a token, if the broker requires one' },
      },
    },
  };
}

function schemas(maxBatch: number, ceilings: readonly Ceiling[]): Record<string, JsonSchema> {
  const types = describeTypes();
  const replies = types.flatMap(({ reply, replySchema }) => (replySchema ? [[reply, replySchema] as const] : []));
  const replyNames = replies.map(([name]) => name);
  const many = (name: string): JsonSchema => ({ type: 'array', minItems: 1, maxItems: maxBatch, items: schema(name) });
  return {
    // without a discriminator, whose values must be names: msg_type may be a number
    Request: { oneOf: types.map(({ request }) => schema(request)) },
    Batch: many('Request'),
    Reply: {
      oneOf: replyNames.map(schema),
      discriminator: {
        propertyName: 'msg_type',
        mapping: Object.fromEntries(replyNames.map((name) => [name, `#/components/schemas/${name}`])),
      },
    },
    Replies: many('Reply'),
    MixedReplies: { type: 'array', items: { anyOf: [schema('Reply'), schema('Error')] } },
    ...Object.fromEntries(
      types.map(({ request, requestSchema }) => [
        request,
        request === 'MSG_HELO_REQ' ? { ...requestSchema, allOf: [below(ceilings)] } : requestSchema,
      ]),
    ),
    ...Object.fromEntries(replies),
    Error: errorSchema(),
    Queue: object({
      ...QUEUE,
      rates: object(
        Object.fromEntries(['send', 'receive', 'free', 'over_ms'].map((name) => [name, { type: ['number', 'null'] }])),
      ),
    }),
    Done: object({ code: { const: 200 }, status: { const: 'OK' } }),
  };
}

const below = (ceilings: readonly Ceiling[]): JsonSchema => {
  const properties = Object.fromEntries(ceilings.map(({ name, most }) => [name, { maximum: most }]));
  return { properties: { settings: { properties } } };
};

function errorSchema(): JsonSchema {
  const reasons = Object.entries(REASONS).map(
    ([reason, { status, meaning, retry }]) => `- \`${reason}\` (${status}): ${meaning}. To do: ${retry}`,
  );
  const fields = object({
    code: { type: 'integer', enum: [...new Set(Object.values(REASONS).map(({ status }) => status))].sort() },
    status: { type: 'string' },
    'msg_type?': {
      type: 'string',
      description: 'the reply that the request would have received, if its type is known',
    },
    error: object({
      reason: { type: 'string', enum: Object.keys(REASONS), description: reasons.join('\n') },
      message: { type: 'string', description: 'what to do' },
      'outcome?': { enum: ['not_done', 'unknown'], description: 'unknown: it may have been done nevertheless' },
      details: {
        type: 'array',
        description: 'every fault of the request',
        items: object({ field: { type: 'string' }, message: { type: 'string' } }),
      },
    }),
  });
  return { ...fields, description: 'Every error has this shape.' };
}
