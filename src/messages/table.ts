// The table of message types: one row for each request, found by its name or its number.
import { BrokerError } from '../errors.js';
import { back } from './back.js';
import { drop } from './drop.js';
import { free } from './free.js';
import { gbye } from './gbye.js';
import { helo } from './helo.js';
import { keep } from './keep.js';
import type { Fields, MessageType, RequestName } from './message-type.js';
import { move } from './move.js';
import { peek } from './peek.js';
import { pushAck, pushRequest } from './push.js';
import { recv } from './recv.js';
import { send } from './send.js';
import { stat } from './stat.js';
import { faultsOfAnyRequest } from './validate.js';

/** Does not compile while a request has no row. */
const TYPES: { readonly [Name in RequestName]: MessageType & { readonly request: Name } } = {
  MSG_SEND_REQ: send,
  MSG_RECV_REQ: recv,
  MSG_FREE_REQ: free,
  MSG_PUSH_REQ: pushRequest,
  MSG_PUSH_ACK: pushAck,
  MSG_HELO_REQ: helo,
  MSG_STAT_REQ: stat,
  MSG_GBYE_REQ: gbye,
  MSG_KEEP_REQ: keep,
  MSG_BACK_REQ: back,
  MSG_PEEK_REQ: peek,
  MSG_MOVE_REQ: move,
  MSG_DROP_REQ: drop,
};

export const MESSAGE_TYPES: readonly MessageType[] = Object.values(TYPES);

const BY_NAME_OR_NUMBER = new Map<unknown, MessageType>(
  MESSAGE_TYPES.flatMap((type) => [
    [type.request, type],
    [type.number, type],
  ]),
);

/** For error messages: PUSH is never answered 200, so it is not suggested. */
const SUPPORTED = MESSAGE_TYPES.filter((type) => type !== pushRequest && type !== pushAck)
  .map(({ request, number }) => `${request} (${number})`)
  .join(', ');

/** @returns the row of a request's msg_type; undefined: the table has none */
export const findType = (fields: Fields): MessageType | undefined => BY_NAME_OR_NUMBER.get(fields.msg_type);

/** @throws BrokerError invalid_request, unknown_msg_type; with the faults that can be found without knowing the type */
export function typeOf(fields: Fields): MessageType {
  const type = findType(fields);
  if (type !== undefined) return type;
  const isMissing = fields.msg_type === undefined;
  const fault = isMissing ? 'msg_type is required' : 'msg_type is not a request that this broker knows';
  const details = [{ field: 'msg_type', message: fault }, ...faultsOfAnyRequest(fields)];
  throw new BrokerError(isMissing ? 'invalid_request' : 'unknown_msg_type', `${fault}: use ${SUPPORTED}`, { details });
}
