// MSG_MOVE_REQ: the receiver saddr moves dead messages back into its queue.
import { MAX_MESSAGES_AT_ONCE } from '../config/limits.js';
import { move as putBack } from '../queue/move.js';
import { audited } from './audited.js';
import { messageIds, requestSchema } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { replyHead } from './reply-text.js';

const REPLY_HEAD = replyHead('MSG_MOVE_ACK');

export const move = {
  number: 21,
  request: 'MSG_MOVE_REQ',
  reply: 'MSG_MOVE_ACK',
  needs: { saddr: 'administer' },
  schema: requestSchema({ ids: messageIds }),
  async handle(
    { saddr, ids }: Addressed & { ids?: number[] },
    { queues }: Broker,
    _payload: string,
    client: Client,
  ): Promise<string> {
    const act = (): Promise<number> => putBack(queues, saddr, ids, MAX_MESSAGES_AT_ONCE, client);
    const count = await audited(client, { request: 'MSG_MOVE_REQ', address: saddr }, act);
    return `${REPLY_HEAD},"count":${count}}`;
  },
} satisfies MessageType;
