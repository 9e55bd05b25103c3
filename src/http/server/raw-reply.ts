// A reply on a bare socket, where there is no request to answer: the whole of it, after which the connection is closed.
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { REASONS } from '../../errors.js';
import type { BrokerError } from '../../errors.js';
import { errorBody } from '../failure.js';
import { JSON_TYPE } from '../reply.js';

export function rawReply(failure: BrokerError): string {
  const body = errorBody(failure);
  const code = REASONS[failure.reason].status;
  return (
    `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nContent-Type: ${JSON_TYPE}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${randomUUID()}\r\nConnection: close\r\n\r\n${body}`
  );
}
