// MSG_RECV_REQ: the receiver saddr asks for its next message.
import { BrokerError } from '../errors.js';
import { recv as receive } from '../queue/recv.js';
import { replyHead, requestSchema } from './fields.js';
import type { Addressed, Broker } from './fields.js';

const REPLY_HEAD = replyHead('MSG_RECV_ACK');

export const recv = {
  number: 3,
  request: 'MSG_RECV_REQ',
  reply: 'MSG_RECV_ACK',
  schema: requestSchema(),
  async handle({ saddr: receiver }: Addressed, { queues }: Broker): Promise<string> {
    const { messages } = await receive(queues, receiver);
    const [message] = messages;
    if (message === undefined) throw new BrokerError('queue_empty', 'no message waits for you: ask again later');
    const { saddr, id, payload } = message;
    return `${REPLY_HEAD},"saddr":${saddr},"daddr":${receiver},"id":${id},"payload":${payload}}`;
  },
};
