// The audit log: who changed or removed what others may depend on, and who was refused for lack of permission. Its lines are
// written here only; they never contain a payload or a credential. docs/security.md has an example of each.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { ANYTHING } from '../access/permissions.js';
import type { Access } from '../access/permissions.js';
import { MAX_AUDITED_CHARACTERS } from '../config/limits.js';
import type { BrokerError } from '../errors.js';
import { REPEATS_AS } from '../log/repeats.js';
import type { Deed } from '../messages/message-type.js';
import { clientOf } from './limits/limits.js';
import { requestIdOf } from './request-id.js';

/** The reply has the request's id, so that the client's log can be matched with this line. */
export function auditDone(log: Logger, res: ServerResponse, access: Access, deed: Deed): void {
  const { req } = res;
  const from = clientOf(req.socket);
  const who = access === ANYTHING ? from : access.name.slice(0, MAX_AUDITED_CHARACTERS);
  const requestId = requestIdOf(req);
  if (!res.headersSent) res.setHeader('X-Request-Id', requestId);
  const line = { who, from, requestId, ...deed };
  // operations without effect, repeated by one client, are throttled as identical lines
  log.info(deed.count === 0 ? { [REPEATS_AS]: `nothing ${who}`, ...line } : line, 'audit: done');
}

/** @param failure logged if it is unauthenticated or forbidden */
export function auditRefused(log: Logger, req: IncomingMessage, requestId: string, failure: BrokerError): void {
  const { reason, about } = failure;
  if (reason !== 'unauthenticated' && reason !== 'forbidden') return;
  const from = clientOf(req.socket);
  const who = about?.who.slice(0, MAX_AUDITED_CHARACTERS) ?? from;
  const path = (req.url ?? '').split('?', 1)[0]?.slice(0, MAX_AUDITED_CHARACTERS) ?? '';
  const request = about?.request ?? `${req.method ?? ''} ${path}`;
  // failed authentications are throttled together, refusals of a known client for that client
  const repeatsAs = about === undefined ? reason : `${reason} ${who}`;
  const line = { [REPEATS_AS]: repeatsAs, who, from, requestId, request, address: about?.address, reason };
  log.info(line, 'audit: refused');
}
