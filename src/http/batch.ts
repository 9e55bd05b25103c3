// The replies to a batch → one reply: each as it would have been alone, and a status that shows whether all of them are 200.
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import { toBrokerError } from '../errors.js';
import type { BrokerError } from '../errors.js';
import type { Observer } from '../observe/observer.js';
import { errorBody, failureHeaders } from './failure.js';

const MULTI_STATUS = 207;

/** The whole reply: JSON text, its status and headers. */
export interface BatchReply {
  code: number;
  text: string;
  headers: Record<string, string | number>;
}

/** @returns a JSON array of the replies, in the order of the requests */
export function together(
  answers: readonly PromiseSettledResult<string>[],
  req: IncomingMessage,
  log: Logger,
  observer: Observer | undefined,
): BatchReply {
  const failures: BrokerError[] = [];
  const texts = answers.map((answer) => {
    if (answer.status === 'fulfilled') return answer.value;
    const failure = toBrokerError(answer.reason);
    failures.push(failure);
    if (failure.msgType === undefined) observer?.refused(failure.reason);
    return errorBody(failure);
  });
  const code = failures.length === 0 ? 200 : MULTI_STATUS;
  return { code, text: `[${texts.join(',')}]`, headers: failureHeaders(failures, req, log) };
}
