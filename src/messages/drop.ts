// MSG_DROP_REQ: the receiver saddr deletes messages of its queue.
import Joi from 'joi';
import { drop as remove } from '../queue/drop.js';
import { MOST_AT_ONCE, messageIds, replyHead, requestSchema } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './fields.js';

type Request = Addressed & { state: 'waiting' | 'delayed' | 'dead'; ids?: number[] };

const REPLY_HEAD = replyHead('MSG_DROP_ACK');

export const drop = {
  number: 23,
  request: 'MSG_DROP_REQ',
  reply: 'MSG_DROP_ACK',
  needs: { saddr: 'administer' },
  schema: requestSchema({ state: Joi.valid('waiting', 'delayed', 'dead').required(), ids: messageIds }),
  async handle({ saddr, state, ids }: Request, { queues }: Broker, _payload: string, client: Client): Promise<string> {
    return `${REPLY_HEAD},"count":${await remove(queues, saddr, state, ids, MOST_AT_ONCE, client)}}`;
  },
} satisfies MessageType;
