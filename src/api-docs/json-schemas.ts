// The table of message types as JSON Schemas: requests from their Joi schemas, replies from their descriptions.
import { DESCRIPTIONS, FIELDS, object } from './descriptions.js';
import type { Description, JsonSchema } from './descriptions.js';
import type { FieldName } from '../messages/fields.js';
import type { MessageType, RequestName } from '../messages/message-type.js';
import { MESSAGE_TYPES } from '../messages/table.js';

export interface DescribedType {
  request: string;
  reply: string;
  summary: string;
  requestSchema: JsonSchema;
  /** Undefined for a request that never succeeds. */
  replySchema: JsonSchema | undefined;
}

export const describeTypes = (): DescribedType[] =>
  MESSAGE_TYPES.map((type) => {
    const description = DESCRIPTIONS[type.request];
    const { summary, replies } = description;
    const alternatives = replies.map((fields) => object({ ...headOf(type.reply), ...fields }));
    return {
      request: type.request,
      reply: type.reply,
      summary,
      requestSchema: requestSchemaOf(type, description),
      replySchema: alternatives.length > 1 ? { type: 'object', anyOf: alternatives } : alternatives[0],
    };
  });

const headOf = (reply: string): Record<string, JsonSchema> => ({
  code: { const: 200 },
  status: { const: 'OK' },
  msg_type: { const: reply },
});

/** The part of Standard JSON Schema that is used here; Joi's own types do not have it yet. */
interface StandardJsonSchema {
  '~standard': { jsonSchema: { input: (options: { target: 'draft-2020-12' }) => Record<string, unknown> } };
}

function requestSchemaOf(
  { request, number, schema }: MessageType,
  { summary, also }: Description<RequestName>,
): JsonSchema {
  const msg_type = { enum: [request, number] };
  if (!schema) return { type: 'object', description: summary, properties: { msg_type }, required: ['msg_type'] };
  const standard = schema as unknown as StandardJsonSchema;
  const { properties, required, ...rest } = standard['~standard'].jsonSchema.input({ target: 'draft-2020-12' });
  const described = Object.entries({ ...(properties as Record<string, object>), msg_type }).map(([name, of]) => [
    name,
    { ...of, description: FIELDS[name as FieldName] },
  ]);
  return {
    ...rest,
    description: summary,
    properties: Object.fromEntries(described) as object,
    required: ['msg_type', ...(required as string[])],
    ...also,
  };
}
