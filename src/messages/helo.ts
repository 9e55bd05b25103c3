// MSG_HELO_REQ: the client saddr joins: its queue is created if it has none, and may be given settings of its own.
import Joi from 'joi';
import { SCRIPT_COST } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { helo as makeQueue } from '../queue/helo.js';
import { ceilings } from '../queue/own-settings.js';
import type { OwnSettings } from '../queue/own-settings.js';
import type { QueueSettings } from '../queue/queues.js';
import { audited } from './audited.js';
import { integer, requestSchema, ttlMs, visibilityTimeoutMs } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { plainReply } from './reply-text.js';

const REPLY = plainReply('MSG_HELO_ACK');

/** The bounds are those of the AIZUMI_ variables, and of ttl_ms in SEND. The operator's settings may be lower. */
const settings = Joi.object({
  visibility_timeout_ms: visibilityTimeoutMs.optional().allow(null),
  max_deliveries: integer(1, 1_000_000).optional().allow(null),
  max_queue_length: integer(1, Number.MAX_SAFE_INTEGER).optional().allow(null),
  max_queue_bytes: integer(65_536, Number.MAX_SAFE_INTEGER).optional().allow(null),
  ttl_ms: ttlMs.optional().allow(null),
});

export const helo = {
  number: 9,
  request: 'MSG_HELO_REQ',
  reply: 'MSG_HELO_ACK',
  needs: { saddr: 'receive' },
  schema: requestSchema({ settings }),
  cost: () => SCRIPT_COST,
  async handle(
    { saddr, settings }: Addressed & { settings?: OwnSettings },
    { queues }: Broker,
    _payload: string,
    client: Client,
  ): Promise<string> {
    const act = async (): Promise<number> => {
      if (settings) checkCeilings(settings, queues.settings);
      await makeQueue(queues, saddr, settings, client.who);
      return Object.keys(settings ?? {}).length;
    };
    if (settings === undefined) await act();
    else await audited(client, { request: 'MSG_HELO_REQ', address: saddr, settings }, act);
    return REPLY;
  },
} satisfies MessageType;

/** @throws BrokerError invalid_request */
function checkCeilings(asked: OwnSettings, settings: QueueSettings): void {
  const details = ceilings(settings)
    .filter(({ name, most }) => (asked[name] ?? 0) > most)
    .map(({ name, most, setting }) => ({
      field: `settings.${name}`,
      message: `settings.${name} must be at most ${most} here (${setting})`,
    }));
  if (details.length === 0) return;
  const all = details.map(({ message }) => message).join('; ');
  throw new BrokerError('invalid_request', `MSG_HELO_REQ is not valid: ${all}`, { details });
}
