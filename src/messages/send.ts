// MSG_SEND_REQ: saddr sends to the receiver daddr.
import Joi from 'joi';
import { sendCost } from '../queue/light-turns.js';
import { send as sendMessage } from '../queue/send.js';
import type { Durability } from '../redis/replication/durable-writes.js';
import { TRACEPARENT } from '../observe/tracing.js';
import { EXPLAINED, delayMs, messageId, requestSchema, ttlMs } from './fields.js';
import type { Addressed, Broker, Client, Fields, MessageType } from './message-type.js';
import { plainReply } from './reply-text.js';

interface Request extends Addressed {
  id: number;
  durability?: Durability;
  dedup?: boolean;
  delay_ms?: number;
  ttl_ms?: number;
  traceparent?: string;
}

const traceparent = Joi.string()
  .pattern(TRACEPARENT)
  .alter({
    [EXPLAINED]: (schema) => schema.messages({ '*': '{{#label}} must be a traceparent as W3C Trace Context has it' }),
  });

const REPLY = plainReply('MSG_SEND_ACK');

export const send = {
  number: 1,
  request: 'MSG_SEND_REQ',
  reply: 'MSG_SEND_ACK',
  needs: { saddr: 'send', daddr: 'to' },
  schema: requestSchema({
    id: messageId,
    payload: Joi.any().required(),
    durability: Joi.valid('primary', 'quorum', 'all'),
    dedup: Joi.boolean(),
    delay_ms: delayMs.optional(),
    ttl_ms: ttlMs.optional(),
    traceparent,
  }),
  async handle(request: Request, broker: Broker, payload: string, client: Client): Promise<string> {
    const { saddr, daddr, id, durability = broker.durability, dedup = false, delay_ms, ttl_ms } = request;
    const { traceparent = client.traceparent } = request;
    const options = { durability, dedup, delayMs: delay_ms, ttlMs: ttl_ms };
    await sendMessage(broker.queues, daddr, { saddr, id, payload, traceparent }, options, client.who);
    return REPLY;
  },
  cost: ({ dedup = false, delay_ms = 0 }: Request, payload: string): number =>
    sendCost(payload.length, dedup || delay_ms > 0),
  /** The durability decides the connection, dedup the command. */
  route: ({ durability, dedup }: Fields): string => `${String(durability)} ${String(dedup)}`,
} satisfies MessageType;
