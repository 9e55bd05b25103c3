// MSG_HELO_REQ: the client saddr arrives; its queue is made if it has none, and gets settings of its own.
import Joi from 'joi';
import { helo as makeQueue } from '../queue/helo.js';
import type { OwnSettings } from '../queue/helo.js';
import { audited, integer, plainReply, requestSchema, ttlMs, visibilityTimeoutMs } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './fields.js';

const REPLY = plainReply('MSG_HELO_ACK');

/** The bounds of the AIZUMI_ variables; of ttl_ms that of SEND. */
const settings = Joi.object({
  visibility_timeout_ms: visibilityTimeoutMs.optional().allow(null),
  max_deliveries: integer(1, 1_000_000).optional().allow(null),
  max_queue_length: integer(1, Number.MAX_SAFE_INTEGER).optional().allow(null),
  ttl_ms: ttlMs.optional().allow(null),
});

export const helo = {
  number: 9,
  request: 'MSG_HELO_REQ',
  reply: 'MSG_HELO_ACK',
  needs: { saddr: 'receive' },
  schema: requestSchema({ settings }),
  async handle(
    { saddr, settings }: Addressed & { settings?: OwnSettings },
    { queues }: Broker,
    _payload: string,
    client: Client,
  ): Promise<string> {
    const act = async (): Promise<number> => {
      await makeQueue(queues, saddr, settings);
      return Object.keys(settings ?? {}).length;
    };
    if (settings === undefined) await act();
    else await audited(client, { request: 'MSG_HELO_REQ', address: saddr, settings }, act);
    return REPLY;
  },
} satisfies MessageType;
