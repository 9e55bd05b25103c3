// MSG_DROP_REQ: the receiver saddr deletes messages of its queue.
import Joi from 'joi';
import { MAX_MESSAGES_AT_ONCE } from '../config/limits.js';
import { drop as remove, purge } from '../queue/drop.js';
import type { Droppable } from '../queue/drop.js';
import { audited } from './audited.js';
import { messageIds, requestSchema } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { replyHead } from './reply-text.js';

type Request = Addressed & { state: Droppable; ids?: number[] };

const REPLY_HEAD = replyHead('MSG_DROP_ACK');

export const drop = {
  number: 23,
  request: 'MSG_DROP_REQ',
  reply: 'MSG_DROP_ACK',
  needs: { saddr: 'administer' },
  schema: requestSchema({ state: Joi.valid('waiting', 'delayed', 'dead').required(), ids: messageIds }),
  async handle({ saddr, state, ids }: Request, { queues }: Broker, _payload: string, client: Client): Promise<string> {
    const deed = { request: 'MSG_DROP_REQ', address: saddr } as const;
    if (ids !== undefined) {
      const count = await audited(client, deed, () => remove(queues, saddr, state, ids, MAX_MESSAGES_AT_ONCE, client));
      return `${REPLY_HEAD},"count":${count}}`;
    }
    let more = false;
    const count = await audited(client, deed, async () => {
      const purged = await purge(queues, saddr, state, client);
      ({ more } = purged);
      return purged.count;
    });
    return `${REPLY_HEAD},"count":${count},"more":${more}}`;
  },
} satisfies MessageType;
