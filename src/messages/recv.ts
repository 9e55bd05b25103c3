// MSG_RECV_REQ: the receiver saddr requests its next message, or several.
import Joi from 'joi';
import { MAX_MESSAGES_AT_ONCE, MAX_NAME_CHARACTERS, MAX_WAIT_MS, SLICE_MESSAGES } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { giveBack } from '../queue/give-back.js';
import type { Delivery } from '../queue/recv.js';
import { integer, requestSchema, text, visibilityTimeoutMs } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { replyHead } from './reply-text.js';

interface Request extends Addressed {
  wait_ms?: number;
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
  needs: { saddr: 'receive' },
  schema: requestSchema({
    wait_ms: integer(0, MAX_WAIT_MS).optional(),
    max: integer(1, MAX_MESSAGES_AT_ONCE).optional(),
    visibility_timeout_ms: visibilityTimeoutMs.optional(),
    details: Joi.boolean(),
    // a lone surrogate cannot be encoded in UTF-8: for Redis all of them would be the same character
    attempt_id: text(MAX_NAME_CHARACTERS).pattern(/^\P{Surrogate}*$/u),
  }),
  async handle(
    request: Request,
    { queues, waiting, traces }: Broker,
    _payload: string,
    client: Client,
  ): Promise<string> {
    const { saddr: receiver, wait_ms = 0, max, details = false, visibility_timeout_ms, attempt_id } = request;
    const { room } = client;
    const options = { max, visibilityTimeoutMs: visibility_timeout_ms, attemptId: attempt_id, room };
    // it may take as long as a RECV that waits: the connection is watched for a disconnect in the same way
    if (max !== undefined && max > SLICE_MESSAGES) client.onLeave(() => undefined);
    if (wait_ms > 0) client.startWait();
    let messages: Delivery[];
    try {
      messages = await waiting.recv(receiver, options, wait_ms, client);
    } finally {
      if (wait_ms > 0) client.endWait();
    }
    const [message] = messages;
    if (message === undefined) throw new BrokerError('queue_empty', 'no message waits for you: ask again later');
    traces?.received(messages);
    client.onUnanswered(() => giveBack(queues, receiver, messages, attempt_id, client.who));
    if (max === undefined) {
      if (message.traceparent !== undefined) client.answerTraceparent(message.traceparent);
      return `${REPLY_HEAD},${fieldsOf(message, receiver, details)}}`;
    }
    const list = messages.map((each) => `{${fieldsOf(each, receiver, details)}}`);
    return `${REPLY_HEAD},"messages":[${list.join(',')}]}`;
  },
} satisfies MessageType;

function fieldsOf(delivery: Delivery, receiver: number, details: boolean): string {
  const { saddr, id, payload } = delivery;
  const fields = `"saddr":${saddr},"daddr":${receiver},"id":${id},"payload":${payload}`;
  return details ? `${fields},"delivery":${deliveryText(delivery)}` : fields;
}

const deliveryText = ({ receipt, attempt, sentAtMs, leaseUntilMs, traceparent }: Delivery): string =>
  JSON.stringify({ receipt, attempt, sent_at_ms: sentAtMs, lease_until_ms: leaseUntilMs, traceparent });
