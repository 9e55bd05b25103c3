// MSG_FREE_REQ: the receiver saddr has dealt with the message id.
import { BrokerError } from '../errors.js';
import { free as freeMessage } from '../queue/free.js';
import { messageId, plainReply, requestSchema } from './fields.js';
import type { Addressed, Broker } from './fields.js';

const REPLY = plainReply('MSG_FREE_ACK');

export const free = {
  number: 5,
  request: 'MSG_FREE_REQ',
  reply: 'MSG_FREE_ACK',
  schema: requestSchema({ id: messageId }),
  async handle({ saddr, id }: Addressed & { id: number }, { queues }: Broker): Promise<string> {
    if (await freeMessage(queues, saddr, id)) return REPLY;
    throw new BrokerError(
      'not_delivered',
      'you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended',
    );
  },
};
