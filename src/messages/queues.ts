// GET /queues and GET /queues/:address: parameters of the URL → the queues → reply text.
import Joi from 'joi';
import { STAT_COST } from '../config/limits.js';
import type { Access } from '../access/permissions.js';
import { MAX_ADDRESS, MAX_QUEUES_AT_ONCE } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { list, report } from '../queue/list.js';
import { inLane } from '../queue/light-turns.js';
import type { QueueReport } from '../queue/list.js';
import type { Asker } from '../queue/turns.js';
import type { Broker } from './message-type.js';

const DEFAULT_LIMIT = 100;
const DECIMAL = /^(0|[1-9][0-9]{0,9})$/;
/** The form of the parameters prefix and cursor. */
export const DECIMAL_PATTERN = DECIMAL.source;

const whole = (min: number, max: number): Joi.StringSchema =>
  Joi.string().custom((text: string, { error }) =>
    DECIMAL.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : error('any.invalid'),
  );

const mustBe = (words: string) => ({ '*': `{{#label}} must be ${words}` });

const PARAMETERS = Joi.object<{ prefix: string; cursor: string; limit: number }>({
  prefix: Joi.string().pattern(DECIMAL).default('').messages(mustBe('the first digits of an address')),
  // a cursor after the last address is valid, and finds nothing
  cursor: Joi.string().pattern(DECIMAL).default('-1').messages(mustBe('one that GET /queues has returned')),
  limit: whole(1, MAX_QUEUES_AT_ONCE)
    .default(DEFAULT_LIMIT)
    .messages(mustBe(`an integer from 1 to ${MAX_QUEUES_AT_ONCE}`)),
}).prefs({
  abortEarly: false,
  errors: { wrap: { label: false } },
  messages: { 'object.unknown': '{{#key}} is not a parameter of GET /queues: use prefix, cursor, limit' },
});

/** The client of a GET. */
export interface QueuesClient extends Asker {
  /** Reserves memory for the reply, which has so many queues at most. @throws BrokerError overloaded */
  expect(queues: number): void;
}

/**
 * @param parameters of the URL's query
 * @returns a page of the queues for which the client has the permission look, JSON text
 * @throws BrokerError invalid_request, forbidden, unavailable, overloaded
 */
export async function listQueues(
  parameters: unknown,
  { queues }: Broker,
  access: Access,
  client: QueuesClient,
): Promise<string> {
  const among = access.ranges('look');
  if (among.length === 0)
    throw new BrokerError('forbidden', 'GET /queues needs the permission look, which your credentials do not give', {
      about: { who: access.name, request: 'GET /queues' },
    });
  const checked = PARAMETERS.validate(parameters);
  if (checked.error) {
    const { error } = checked;
    const details = error.details.map(({ path, message }) => ({ field: path.join('.'), message }));
    throw new BrokerError('invalid_request', `GET /queues: ${error.message}`, { details });
  }
  const { prefix, cursor: after, limit } = checked.value;
  client.expect(limit);
  const { reports, last } = await list(queues, { prefix, after: Number(after), limit, among }, client);
  const cursor = last === undefined ? null : String(last);
  return JSON.stringify({ code: 200, status: 'OK', queues: reports.map(fieldsOf), cursor });
}

/**
 * @param text the address, as it stands in the URL
 * @returns one queue, JSON text; of an address that has no queue, zeros
 * @throws BrokerError invalid_request, forbidden, unavailable
 */
export async function showQueue(text: string, { queues }: Broker, access: Access, { who }: Asker): Promise<string> {
  if (!DECIMAL.test(text) || Number(text) > MAX_ADDRESS) {
    const message = `address must be an integer from 0 to ${MAX_ADDRESS}`;
    throw new BrokerError('invalid_request', `GET /queues/:address: ${message}`, {
      details: [{ field: 'address', message }],
    });
  }
  if (!access.may('look', Number(text))) {
    const message = `GET /queues/${text} needs the permission look for this address, which your credentials do not give`;
    const about = { who: access.name, request: 'GET /queues/:address', address: Number(text) };
    throw new BrokerError('forbidden', message, { about });
  }
  const address = Number(text);
  const found =
    (await inLane(queues.light.lane(address), who, STAT_COST, () => report(queues, address))) ?? noQueueAt(address);
  return JSON.stringify({ code: 200, status: 'OK', queue: fieldsOf(found) });
}

/**
 * A queue is created by its first message and removed when it is empty and its receiver has sent GBYE; before and after that,
 * nothing waits there. Autoscalers poll then, too, and treat any status but 200 as a failure of aizumi.
 */
const noQueueAt = (address: number): QueueReport => ({
  address,
  waiting: 0,
  leased: 0,
  delayed: 0,
  dead: 0,
  expired: 0,
  oldestMs: 0,
  bytes: 0,
  settings: {},
  rates: { send: null, receive: null, free: null, overMs: null },
});

const fieldsOf = ({ address, oldestMs, rates, ...queue }: QueueReport): object => ({
  address,
  waiting: queue.waiting,
  leased: queue.leased,
  delayed: queue.delayed,
  dead: queue.dead,
  expired: queue.expired,
  oldest_ms: oldestMs,
  bytes: queue.bytes,
  settings: queue.settings,
  rates: { send: rates.send, receive: rates.receive, free: rates.free, over_ms: rates.overMs },
});
