// Whether a request's fields are valid by the Joi schema of its message type: most valid requests are recognised by the fast
// validator; Joi decides about all others and finds their faults.
import type Joi from 'joi';
import { BrokerError } from '../errors.js';
import type { Fault } from '../errors.js';
import { fastValidatorOf } from './fast-validator.js';
import type { FastValidator } from './fast-validator.js';
import { faultsOf, sentenceOf } from './faults.js';
import { requestSchema } from './fields.js';
import type { Fields, MessageType } from './message-type.js';

const fastValidators = new Map<Joi.ObjectSchema, FastValidator>();

function fastValidatorFor(schema: Joi.ObjectSchema): FastValidator {
  let validator = fastValidators.get(schema);
  if (validator === undefined) fastValidators.set(schema, (validator = fastValidatorOf(schema)));
  return validator;
}

/** @returns true for most valid requests; false: {@link validate} decides */
export const isValidAtOnce = ({ schema }: MessageType, fields: Fields): boolean =>
  schema === undefined || fastValidatorFor(schema)(fields);

/** @throws BrokerError invalid_request */
export function validate({ request, schema }: MessageType, fields: Fields): void {
  const faults = schema && faultsOf(schema, fields);
  if (faults === undefined) return;
  throw new BrokerError('invalid_request', `${request} is not valid: ${sentenceOf(faults)}`, {
    details: faults.listed,
  });
}

/** The fields that every request has; others are allowed. */
const ANY_REQUEST = requestSchema().unknown();

/** @returns the faults of a request whose type is not known */
export const faultsOfAnyRequest = (fields: Fields): readonly Fault[] => faultsOf(ANY_REQUEST, fields)?.listed ?? [];
