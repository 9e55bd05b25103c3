// MSG_FREE_REQ: the receiver saddr has processed the message id, or the messages ids: they are deleted.
import { SCRIPT_COST } from '../config/limits.js';
import { freeMany, free as freeMessage } from '../queue/free.js';
import { messageId, messageIds, receipt, requestSchema } from './fields.js';
import type { Broker, Client, Held, MessageType } from './message-type.js';
import { notDelivered, plainReply, replyHead } from './reply-text.js';

type Request = Held & { ids?: number[] };

const REPLY = plainReply('MSG_FREE_ACK');
const REPLY_HEAD = replyHead('MSG_FREE_ACK');

export const free = {
  number: 5,
  request: 'MSG_FREE_REQ',
  reply: 'MSG_FREE_ACK',
  needs: { saddr: 'receive' },
  // as rules of the whole object, because Joi's conditions on a field cost 2 µs
  schema: requestSchema({ id: messageId.optional(), ids: messageIds, receipt })
    .or('id', 'ids')
    .without('ids', 'receipt')
    .messages({
      'object.missing': 'id is required, or ids',
      'object.without': 'receipt is of one delivery: it cannot be used with ids',
    }),
  cost: ({ ids }: Request): number => (ids === undefined || ids.length === 1 ? SCRIPT_COST : 0),
  async handle(
    { saddr, id, ids, receipt }: Request,
    { queues }: Broker,
    _payload: string,
    client: Client,
  ): Promise<string> {
    if (ids === undefined) {
      if (await freeMessage(queues, saddr, id, receipt)) return REPLY;
      throw notDelivered();
    }
    const missing = await freeMany(queues, saddr, ids, client);
    if (missing.length === ids.length) throw notDelivered();
    return `${REPLY_HEAD},"freed":${ids.length - missing.length},"missing":[${missing.join(',')}]}`;
  },
} satisfies MessageType;
