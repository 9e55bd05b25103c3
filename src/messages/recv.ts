// MSG_RECV_REQ: the receiver saddr asks for its next message, or for several.
import Joi from 'joi';
import { BrokerError } from '../errors.js';
import { recv as receive } from '../queue/recv.js';
import type { Delivery } from '../queue/recv.js';
import { MOST_AT_ONCE, integer, replyHead, requestSchema, text, visibilityTimeoutMs } from './fields.js';
import type { Addressed, Broker } from './fields.js';

interface Request extends Addressed {
  max?: number;
  visibility_timeout_ms?: number;
  details?: boolean;
  attempt_id?: string;
}

const REPLY_HEAD = replyHead('MSG_RECV_ACK');

export const recv = {
  number: 3,
  request: 'MSG_RECV_REQ',
  reply: 'MSG_RECV_ACK',
  schema: requestSchema({
    max: integer(1, MOST_AT_ONCE).optional(),
    visibility_timeout_ms: visibilityTimeoutMs.optional(),
    details: Joi.boolean(),
    attempt_id: text(64),
  }),
  async handle(request: Request, { queues }: Broker): Promise<string> {
    const { saddr: receiver, max, details = false, visibility_timeout_ms, attempt_id } = request;
    const options = { max, visibilityTimeoutMs: visibility_timeout_ms, attemptId: attempt_id };
    const { messages } = await receive(queues, receiver, options);
    const [message] = messages;
    if (message === undefined) throw new BrokerError('queue_empty', 'no message waits for you: ask again later');
    if (max === undefined) return `${REPLY_HEAD},${fieldsOf(message, receiver, details)}}`;
    const list = messages.map((each) => `{${fieldsOf(each, receiver, details)}}`);
    return `${REPLY_HEAD},"messages":[${list.join(',')}]}`;
  },
};

function fieldsOf(delivery: Delivery, receiver: number, details: boolean): string {
  const { saddr, id, payload } = delivery;
  const fields = `"saddr":${saddr},"daddr":${receiver},"id":${id},"payload":${payload}`;
  return details ? `${fields},"delivery":${deliveryText(delivery)}` : fields;
}

const deliveryText = ({ receipt, attempt, sentAtMs, leaseUntilMs }: Delivery): string =>
  JSON.stringify({ receipt, attempt, sent_at_ms: sentAtMs, lease_until_ms: leaseUntilMs });
