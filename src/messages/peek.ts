// MSG_PEEK_REQ: the receiver saddr reads the messages of its queue without leasing them.
import Joi from 'joi';
import { MAX_MESSAGES_AT_ONCE } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { STATES, isCursor, peekInRoom, receiptOf } from '../queue/peek.js';
import type { Seen, State } from '../queue/peek.js';
import { EXPLAINED, integer, requestSchema } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { replyHead } from './reply-text.js';

type Request = Addressed & { state: State; max?: number; cursor?: string | null };

const REPLY_HEAD = replyHead('MSG_PEEK_ACK');
const DEFAULT_MAX = 10;

const NO_CURSOR = 'must be one that PEEK has returned';

const cursor = Joi.string()
  .pattern(/^[1-4]\.\d{1,16}\.[\d:-]{1,41}$/)
  .allow(null)
  .alter({ [EXPLAINED]: (schema) => schema.messages({ '*': `{{#label}} ${NO_CURSOR}` }) });

export const peek = {
  number: 19,
  request: 'MSG_PEEK_REQ',
  reply: 'MSG_PEEK_ACK',
  needs: { saddr: 'look' },
  schema: requestSchema({
    state: Joi.valid(...STATES).required(),
    max: integer(1, MAX_MESSAGES_AT_ONCE).optional(),
    cursor,
  }),
  async handle(request: Request, { queues }: Broker, _payload: string, client: Client): Promise<string> {
    const { saddr, state, max = DEFAULT_MAX, cursor } = request;
    if (cursor && !isCursor(state, cursor)) throw noCursor();
    const page = await peekInRoom(queues, client.room, saddr, state, max, cursor ?? '', client);
    const messages = page.messages.map((message) => textOf(message, saddr, state)).join(',');
    return `${REPLY_HEAD},"messages":[${messages}],"cursor":${page.cursor === '' ? 'null' : `"${page.cursor}"`}}`;
  },
} satisfies MessageType;

/** For a cursor that has the right form, but belongs to another state. */
function noCursor(): BrokerError {
  const message = `cursor ${NO_CURSOR}`;
  return new BrokerError('invalid_request', `MSG_PEEK_REQ is not valid: ${message}`, {
    details: [{ field: 'cursor', message }],
  });
}

function textOf(message: Seen, receiver: number, state: State): string {
  const { saddr, id, payload, sentAtMs, attempts, atMs, cause } = message;
  const of = {
    waiting: '',
    leased: `,"lease_until_ms":${atMs},"receipt":"${receiptOf(message)}"`,
    delayed: `,"due_at_ms":${atMs}`,
    dead: `,"cause":"${cause}","died_at_ms":${atMs}`,
  };
  const common = `"saddr":${saddr},"daddr":${receiver},"id":${id},"payload":${payload}`;
  return `{${common},"sent_at_ms":${sentAtMs},"attempts":${attempts}${of[state]}}`;
}
