// X-Request-Id: the id of a request in its reply and in the log. It is the client's own if the client sent a valid one.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Characters without a special meaning in a header, in JSON or on a terminal. */
const VALID = /^[\w.:/+=@-]{1,128}$/;

/** @returns the id that the client sent; undefined: none, or one that is not valid and is not repeated anywhere */
export function givenRequestId({ headers }: IncomingMessage): string | undefined {
  const given = headers['x-request-id'];
  return typeof given === 'string' && VALID.test(given) ? given : undefined;
}

const made = new WeakMap<IncomingMessage, string>();

/** @returns the client's id, or one that is made at the first call for this request */
export function requestIdOf(req: IncomingMessage): string {
  const known = givenRequestId(req) ?? made.get(req);
  if (known !== undefined) return known;
  const id = randomUUID();
  made.set(req, id);
  return id;
}
