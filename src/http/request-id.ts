// X-Request-Id: one name for a request in its reply and in the log, the client's own if it has one.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What a client may call its request: nothing that means something in a header, in JSON or on a terminal. */
const SANE = /^[\w.:/+=@-]{1,128}$/;

/** What the client calls it; undefined: nothing, or something that is not repeated to anybody. */
export function givenRequestId({ headers }: IncomingMessage): string | undefined {
  const given = headers['x-request-id'];
  return typeof given === 'string' && SANE.test(given) ? given : undefined;
}

const made = new WeakMap<IncomingMessage, string>();

/** The client's, or a new one: of one request always the same. */
export function requestIdOf(req: IncomingMessage): string {
  const known = givenRequestId(req) ?? made.get(req);
  if (known !== undefined) return known;
  const id = randomUUID();
  made.set(req, id);
  return id;
}
