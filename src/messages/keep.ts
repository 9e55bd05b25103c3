// MSG_KEEP_REQ: the receiver saddr extends or shortens the lease of the message id.
import { SCRIPT_COST } from '../config/limits.js';
import { keep as keepMessage } from '../queue/keep.js';
import { messageId, receipt, requestSchema, visibilityTimeoutMs } from './fields.js';
import type { Broker, Held, MessageType } from './message-type.js';
import { notDelivered, plainReply } from './reply-text.js';

const REPLY = plainReply('MSG_KEEP_ACK');

export const keep = {
  number: 15,
  request: 'MSG_KEEP_REQ',
  reply: 'MSG_KEEP_ACK',
  needs: { saddr: 'receive' },
  schema: requestSchema({ id: messageId, visibility_timeout_ms: visibilityTimeoutMs, receipt }),
  cost: () => SCRIPT_COST,
  async handle(request: Held & { visibility_timeout_ms: number }, { queues }: Broker): Promise<string> {
    const { saddr, id, visibility_timeout_ms: timeoutMs, receipt } = request;
    if (await keepMessage(queues, saddr, id, timeoutMs, receipt)) return REPLY;
    throw notDelivered();
  },
} satisfies MessageType;
