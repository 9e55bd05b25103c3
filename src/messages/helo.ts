// MSG_HELO_REQ: the client saddr arrives; its queue is made if it has none.
import { helo as makeQueue } from '../queue/helo.js';
import { plainReply, requestSchema } from './fields.js';
import type { Addressed, Broker } from './fields.js';

const REPLY = plainReply('MSG_HELO_ACK');

export const helo = {
  number: 9,
  request: 'MSG_HELO_REQ',
  reply: 'MSG_HELO_ACK',
  schema: requestSchema(),
  async handle({ saddr }: Addressed, { queues }: Broker): Promise<string> {
    await makeQueue(queues, saddr);
    return REPLY;
  },
};
