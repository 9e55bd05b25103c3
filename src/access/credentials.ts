// What API keys and tokens have in common: the result of an authentication and its errors.
import { BrokerError } from '../errors.js';
import type { Access } from './permissions.js';

export type Admission = Access | Promise<Access>;

export const unauthenticated = (message: string): BrokerError => new BrokerError('unauthenticated', message);

/** A setting, or the file that it names, cannot be used: the process does not start with it. */
export class AccessError extends Error {
  override readonly name = 'AccessError';
}
