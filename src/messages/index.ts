// Request text → the message type's handler → reply text. The table of message types is here.
import { BrokerError } from '../errors.js';
import type { Broker, MessageType } from './fields.js';
import { free } from './free.js';
import { gbye } from './gbye.js';
import { helo } from './helo.js';
import { parseRequest } from './json-text.js';
import { pushAck, pushRequest } from './push.js';
import { recv } from './recv.js';
import { send } from './send.js';
import { stat } from './stat.js';

export const MESSAGE_TYPES: readonly MessageType[] = [send, recv, free, pushRequest, pushAck, helo, stat, gbye];

const BY_NAME_OR_NUMBER = new Map<unknown, MessageType>(
  MESSAGE_TYPES.flatMap((type) => [
    [type.request, type],
    [type.number, type],
  ]),
);

const KNOWN = MESSAGE_TYPES.map(({ request, number }) => `${request} (${number})`).join(', ');

/**
 * Carries out one request.
 * @param text one JSON object
 * @returns the reply, JSON text, its code 200
 * @throws BrokerError; its msgType tells the reply that this would have been, once that is known
 */
export async function answer(text: string, broker: Broker): Promise<string> {
  const { fields, payload } = parseRequest(text);
  const type = typeOf(fields);
  try {
    validate(type, fields);
    return await type.handle(fields as never, broker, payload ?? '');
  } catch (error) {
    throw inReplyTo(type, error);
  }
}

function typeOf(fields: Readonly<Record<string, unknown>>): MessageType {
  const given = fields.msg_type;
  const type = BY_NAME_OR_NUMBER.get(given);
  if (type !== undefined) return type;
  if (given === undefined)
    throw new BrokerError('invalid_request', 'the request has no msg_type', {
      details: [{ field: 'msg_type', message: `msg_type is required: one of ${KNOWN}` }],
    });
  throw new BrokerError('unknown_msg_type', `msg_type must be one of ${KNOWN}`, {
    details: [{ field: 'msg_type', message: 'msg_type is not a request that this broker knows' }],
  });
}

function validate(type: MessageType, fields: Readonly<Record<string, unknown>>): void {
  const { error } = type.schema.validate(fields);
  // JSON.parse makes it a field like any other; Joi passes over it
  const hidden = Object.hasOwn(fields, '__proto__');
  if (error === undefined && !hidden) return;
  const details = (error?.details ?? []).map(({ path, message }) => ({ field: path.join('.'), message }));
  if (hidden) details.push({ field: '__proto__', message: '__proto__ is not a field of this request' });
  throw new BrokerError(
    'invalid_request',
    `${type.request} is not valid: ${details.map(({ message }) => message).join('; ')}`,
    {
      details,
    },
  );
}

function inReplyTo(type: MessageType, error: unknown): BrokerError {
  const failure =
    error instanceof BrokerError
      ? error
      : new BrokerError('internal', 'the broker failed; its log says more', { outcome: 'unknown', cause: error });
  failure.msgType = type.reply;
  return failure;
}
