// One request's text → its message type's handler → reply text. On the way it is permitted, validated, counted and traced.
import { KEPT_PAYLOAD_CHARACTERS } from '../config/limits.js';
import type { BrokerError } from '../errors.js';
import { toBrokerError } from '../errors.js';
import type { Lane } from '../queue/light-turns.js';
import type { Durability } from '../redis/replication/durable-writes.js';
import { isAddress } from './fields.js';
import { parseRequest } from './json-text.js';
import type { RequestText } from './json-text.js';
import type { Broker, Client, Fields, MessageType } from './message-type.js';
import { permit } from './permit.js';
import { recv } from './recv.js';
import { send } from './send.js';
import { typeOf } from './table.js';
import { isValidAtOnce, validate } from './validate.js';

/**
 * Carries out one request.
 * @param text one JSON object
 * @returns the reply, JSON text, its code 200
 * @throws BrokerError; its msgType is the reply that the client would have received, once the request's type is known
 */
export async function answer(text: string, broker: Broker, client: Client): Promise<string> {
  return answerRequest(parseRequest(text), broker, client);
}

/** Carries out one parsed request, as {@link answer} does. */
export async function answerRequest({ fields, payload }: RequestText, broker: Broker, client: Client): Promise<string> {
  // only the payload's text is used from here on; its parsed value may take twenty times as much memory
  if (payload !== undefined && payload.length > KEPT_PAYLOAD_CHARACTERS)
    (fields as Record<string, unknown>).payload = null;
  const type = typeOf(fields);
  const { observer } = broker;
  const sinceMs = observer === undefined ? 0 : performance.now();
  let cost = 0;
  let lane: Lane | undefined;
  try {
    check(type, fields, client);
    if (type.schema) client.count?.(fields.saddr as number);
    cost = type.cost?.(fields as never, payload ?? '') ?? 0;
    if (cost > 0) lane = laneOf(type, fields, broker);
    // where nothing has to wait, no further promise is made
    const text = await (lane === undefined || lane.enters(client.who, cost)
      ? carryOut(type, fields, broker, payload ?? '', client)
      : lane.wait(client.who, cost, () => carryOut(type, fields, broker, payload ?? '', client)));
    observer?.answered(type.request, undefined, performance.now() - sinceMs, mayWait(type, fields));
    return text;
  } catch (error) {
    const failure = inReplyTo(type, error);
    observer?.answered(type.request, failure.reason, performance.now() - sinceMs, mayWait(type, fields));
    throw failure;
  } finally {
    lane?.leave(client.who, cost);
  }
}

/**
 * Permission is checked before validity, so that a client without it does not cause a search for faults. Permission for an
 * address that is not valid cannot be checked: then the fault is reported first.
 */
function check(type: MessageType, fields: Fields, client: Client): void {
  const { needs } = type;
  const isValid = isValidAtOnce(type, fields);
  const hasAddresses =
    isValid || ((!needs.saddr || isAddress(fields.saddr)) && (!needs.daddr || isAddress(fields.daddr)));
  if (hasAddresses) permit(type, fields, client);
  if (!isValid) validate(type, fields);
  if (!hasAddresses) permit(type, fields, client);
}

/** The lane in which a request shares its client's turns: SENDs by receiver and durability, all others by saddr. */
function laneOf(type: MessageType, { saddr, daddr, durability }: Fields, broker: Broker): Lane {
  const { light } = broker.queues;
  if (type !== send) return light.lane(saddr as number);
  const level = (durability as Durability | undefined) ?? broker.durability;
  return light.lane(daddr as number, level === 'primary' ? '' : level);
}

/** Whether it is a RECV that may wait for a message: its duration is counted apart. */
const mayWait = (type: MessageType, { wait_ms }: Fields): boolean => type === recv && (wait_ms as number) > 0;

/** Calls the handler, in a span of its own where requests are traced. */
function carryOut(type: MessageType, fields: Fields, broker: Broker, payload: string, client: Client): Promise<string> {
  const { traces } = broker;
  if (traces === undefined) return type.handle(fields as never, broker, payload, client);
  return traces.request(type.request, fields, (traceparent) =>
    type.handle({ ...fields, traceparent } as never, broker, payload, client),
  );
}

function inReplyTo(type: MessageType, error: unknown): BrokerError {
  const failure = toBrokerError(error, 'unknown');
  failure.msgType = type.reply;
  return failure;
}
