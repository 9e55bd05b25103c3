// The audit log, and the only place that makes its lines: who has changed or ended what others may have an interest in, and who
// was refused for who he is. docs/security.md has an example of each; never a payload, never a credential.
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

/** The reply tells the request's id, so that the client's side can be matched with the line. */
export function auditDone(log: Logger, res: ServerResponse, access: Access, deed: Deed): void {
  const { req } = res;
  const from = clientOf(req.socket);
  const who = access === ANYTHING ? from : access.name.slice(0, MAX_AUDITED_CHARACTERS);
  const requestId = requestIdOf(req);
  if (!res.headersSent) res.setHeader('X-Request-Id', requestId);
  const line = { who, from, requestId, ...deed };
  // a client that does nothing again and again must not fill the log
  log.info(deed.count === 0 ? { [REPEATS_AS]: `nothing ${who}`, ...line } : line, 'audit: done');
}

/** @param failure unauthenticated or forbidden; others are of no interest here */
export function auditRefused(log: Logger, req: IncomingMessage, requestId: string, failure: BrokerError): void {
  const { reason, about } = failure;
  if (reason !== 'unauthenticated' && reason !== 'forbidden') return;
  const from = clientOf(req.socket);
  const who = about?.who.slice(0, MAX_AUDITED_CHARACTERS) ?? from;
  const path = (req.url ?? '').split('?', 1)[0]?.slice(0, MAX_AUDITED_CHARACTERS) ?? '';
  const request = about?.request ?? `${req.method ?? ''} ${path}`;
  // guesses from everywhere are one flood; what keys may not is told of each
  const repeatsAs = about === undefined ? reason : `${reason} ${who}`;
  const line = { [REPEATS_AS]: repeatsAs, who, from, requestId, request, address: about?.address, reason };
  log.info(line, 'audit: refused');
}
