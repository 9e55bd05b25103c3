// MSG_BACK_REQ: the receiver saddr returns the message id to its queue, to be redelivered now or later.
import Joi from 'joi';
import { SCRIPT_COST } from '../config/limits.js';
import { back as giveBack } from '../queue/back.js';
import { delayMs, messageId, receipt, requestSchema } from './fields.js';
import type { Broker, Held, MessageType } from './message-type.js';
import { notDelivered, plainReply } from './reply-text.js';

type Request = Held & { delay_ms?: number; count?: boolean };

const REPLY = plainReply('MSG_BACK_ACK');

export const back = {
  number: 17,
  request: 'MSG_BACK_REQ',
  reply: 'MSG_BACK_ACK',
  needs: { saddr: 'receive' },
  schema: requestSchema({ id: messageId, delay_ms: delayMs.optional(), receipt, count: Joi.boolean() }),
  cost: () => SCRIPT_COST,
  async handle({ saddr, id, delay_ms, receipt, count }: Request, { queues }: Broker): Promise<string> {
    if (await giveBack(queues, saddr, id, { delayMs: delay_ms, receipt, counts: count })) return REPLY;
    throw notDelivered();
  },
} satisfies MessageType;
