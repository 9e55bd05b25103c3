// MSG_PUSH_REQ, MSG_PUSH_ACK: they are in the specification, but a broker behind plain HTTP cannot call its receivers.
import { BrokerError } from '../errors.js';
import type { MessageType } from './message-type.js';

const refuse = {
  reply: 'MSG_PUSH_ACK',
  needs: { saddr: undefined },
  schema: undefined,
  handle: (): Promise<string> =>
    Promise.reject(new BrokerError('not_supported', 'the broker does not push: ask for messages with MSG_RECV_REQ')),
} satisfies Omit<MessageType, 'number' | 'request'>;

export const pushRequest = { ...refuse, number: 7, request: 'MSG_PUSH_REQ' } satisfies MessageType;
export const pushAck = { ...refuse, number: 8, request: 'MSG_PUSH_ACK' } satisfies MessageType;
