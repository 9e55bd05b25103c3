// The parts that the replies of several message types share.
import { BrokerError } from '../errors.js';

/** The start of every successful reply, its keys in the order of the protocol. */
export const replyHead = (reply: string): string => `{"code":200,"status":"OK","msg_type":"${reply}"`;

/** A successful reply without further fields. */
export const plainReply = (reply: string): string => `${replyHead(reply)}}`;

export const notDelivered = (): BrokerError =>
  new BrokerError(
    'not_delivered',
    'you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended',
  );
