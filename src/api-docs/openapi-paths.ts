// The paths of the OpenAPI document: the replies of each, with every status.
import { STATUS_CODES } from 'node:http';
import { MAX_ADDRESS, MAX_QUEUES_AT_ONCE } from '../config/limits.js';
import { REASONS } from '../errors.js';
import type { Operation, Reason } from '../errors.js';
import { object } from './descriptions.js';
import type { JsonSchema } from './descriptions.js';
import { EXAMPLES } from './examples.js';
import type { Example } from './examples.js';
import { DECIMAL_PATTERN } from '../messages/queues.js';

const ref = (kind: string, name: string): JsonSchema => ({ $ref: `#/components/${kind}/${name}` });
export const schema = (name: string): JsonSchema => ref('schemas', name);
const json = (of: JsonSchema, examples?: object): object => ({
  'application/json': { schema: of, ...(examples && { examples }) },
});

/** @returns a response for each status that one of the operation's reasons has */
function failures(operation: Operation, examples: readonly Example[] = []): Record<string, object> {
  const reasons = (Object.keys(REASONS) as Reason[]).filter((reason) => REASONS[reason].repliesTo.includes(operation));
  const statuses = new Set(reasons.map((reason) => REASONS[reason].status));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const of = reasons.filter((reason) => REASONS[reason].status === status);
      const error = { properties: { error: { properties: { reason: { enum: of } } }, code: { const: status } } };
      const shown = examples.filter(({ reply }) => reply.code === status);
      const names = new Set([...of.flatMap((reason) => REASONS[reason].header ?? []), 'X-Request-Id']);
      const headers = Object.fromEntries([...names].map((name) => [name, ref('headers', name)]));
      const description = of.map((reason) => `\`${reason}\`: ${REASONS[reason].meaning}`).join('; ');
      const content = json({ allOf: [schema('Error'), error] }, shown.length > 0 ? replies(shown) : undefined);
      return [status, { description: `${STATUS_CODES[status] ?? ''}. ${description}`, headers, content }];
    }),
  );
}

const replies = (examples: readonly Example[]): object =>
  Object.fromEntries(examples.map(({ name, summary, reply }) => [name, { summary, value: reply }]));

/** @param maxBatch most requests in one body */
export function paths(maxBatch: number): object {
  const [first, last] = [
    EXAMPLES.find(({ name }) => name === 'send'),
    EXAMPLES.find(({ name }) => name === 'send_bad'),
  ];
  const both = [first, last].flatMap((example) => example ?? []);
  const batch = { summary: 'A batch: two requests in one body', value: both.map(({ request }) => request) };
  const mixed = { batch: { summary: 'One request done, one failed', value: both.map(({ reply }) => reply) } };
  return {
    '/': {
      post: {
        operationId: 'request',
        tags: ['messages'],
        summary: 'Send, receive, free, …',
        description:
          `\`msg_type\` names the request. A batch has ${maxBatch} requests at most; ` +
          'each is answered as if it had been sent alone.',
        parameters: [
          {
            name: 'traceparent',
            in: 'header',
            description: 'of W3C Trace Context: a SEND passes it on to its RECV; an invalid one is ignored',
            schema: { type: 'string' },
          },
        ],
        requestBody: {
          required: true,
          content: json(
            { anyOf: [schema('Request'), schema('Batch')] },
            {
              ...Object.fromEntries(EXAMPLES.map(({ name, summary, request }) => [name, { summary, value: request }])),
              batch,
            },
          ),
        },
        responses: {
          200: {
            description: 'Done; for a batch: all requests are done',
            headers: { traceparent: ref('headers', 'traceparent'), 'X-Request-Id': ref('headers', 'X-Request-Id') },
            content: json(
              { anyOf: [schema('Reply'), schema('Replies')] },
              replies(EXAMPLES.filter(({ reply }) => reply.code === 200)),
            ),
          },
          207: {
            description: 'A batch in which some requests failed: each reply has its own code',
            headers: { 'Retry-After': ref('headers', 'Retry-After'), 'X-Request-Id': ref('headers', 'X-Request-Id') },
            content: json(schema('MixedReplies'), mixed),
          },
          ...failures('request', EXAMPLES),
        },
      },
    },
    '/queues': { get: queueList() },
    '/queues/{address}': { get: oneQueue() },
    '/livez': { get: probe('livez', 'Whether the worker is alive') },
    '/readyz': {
      get: {
        ...probe('readyz', 'Whether Redis answers and the worker is not stopping'),
        parameters: [
          {
            name: 'exclude',
            in: 'query',
            description: '`redis`: do not check whether Redis answers',
            schema: { type: 'string', enum: ['redis'] },
          },
        ],
      },
    },
  };
}

const parameter = (name: string, description: string, of: JsonSchema): object => ({
  name,
  in: 'query',
  description,
  schema: of,
});

const DECIMAL: JsonSchema = { type: 'string', pattern: DECIMAL_PATTERN };

const queueList = (): object => ({
  operationId: 'queues',
  tags: ['queues'],
  summary: 'The queues in the order of their addresses, a page at a time',
  parameters: [
    parameter('prefix', 'only addresses that begin with these digits', DECIMAL),
    parameter('limit', 'queues in one page', {
      type: 'integer',
      minimum: 1,
      maximum: MAX_QUEUES_AT_ONCE,
      default: 100,
    }),
    parameter('cursor', 'that the page before returned', DECIMAL),
  ],
  responses: {
    200: {
      description: 'A page',
      content: json(
        object({
          code: { const: 200 },
          status: { const: 'OK' },
          queues: { type: 'array', items: schema('Queue') },
          cursor: { type: ['string', 'null'], description: 'where the next page begins; null: this is the last page' },
        }),
      ),
    },
    ...failures('queues'),
  },
});

const oneQueue = (): object => ({
  operationId: 'queue',
  tags: ['queues'],
  summary: 'One queue',
  parameters: [
    {
      name: 'address',
      in: 'path',
      required: true,
      schema: { type: 'integer', minimum: 0, maximum: MAX_ADDRESS },
      example: 100,
    },
  ],
  responses: {
    200: {
      description: 'The queue; all zeros if the address has none',
      content: json(object({ code: { const: 200 }, status: { const: 'OK' }, queue: schema('Queue') })),
    },
    ...failures('queues'),
  },
});

const probe = (operationId: 'livez' | 'readyz', summary: string): object => ({
  operationId,
  tags: ['probes'],
  summary,
  security: [],
  responses: { 200: { description: 'It is', content: json(schema('Done')) }, ...failures(operationId) },
});
