// MSG_SEND_REQ: saddr sends to the receiver daddr.
import Joi from 'joi';
import { send as sendMessage } from '../queue/send.js';
import { messageId, plainReply, requestSchema } from './fields.js';
import type { Addressed, Broker } from './fields.js';

const REPLY = plainReply('MSG_SEND_ACK');

export const send = {
  number: 1,
  request: 'MSG_SEND_REQ',
  reply: 'MSG_SEND_ACK',
  schema: requestSchema({ id: messageId, payload: Joi.any().required() }),
  async handle({ saddr, daddr, id }: Addressed & { id: number }, { queues }: Broker, payload: string): Promise<string> {
    await sendMessage(queues, daddr, { saddr, id, payload });
    return REPLY;
  },
};
