// Request text, or a batch of them → the message type's handler → reply text. The table of message types is here.
import type Joi from 'joi';
import type { Access } from '../access/permissions.js';
import { BrokerError } from '../errors.js';
import type { Lane } from '../queue/light-turns.js';
import type { Durability } from '../redis/replication/durable-writes.js';
import { back } from './back.js';
import { drop } from './drop.js';
import { faultsOf, sentenceOf } from './faults.js';
import { isAddress, requestSchema } from './fields.js';
import type { Broker, Client, Fields, MessageType, RequestName } from './fields.js';
import { free } from './free.js';
import { gbye } from './gbye.js';
import { glanceOf } from './fast-validator.js';
import { helo } from './helo.js';
import { parseBatch, parseRequest } from './json-text.js';
import type { RequestText } from './json-text.js';
import { keep } from './keep.js';
import { move } from './move.js';
import { peek } from './peek.js';
import { pushAck, pushRequest } from './push.js';
import { recv } from './recv.js';
import { send } from './send.js';
import { stat } from './stat.js';

/** Does not compile while a request has no row. */
const TYPES: { readonly [Name in RequestName]: MessageType & { readonly request: Name } } = {
  MSG_SEND_REQ: send,
  MSG_RECV_REQ: recv,
  MSG_FREE_REQ: free,
  MSG_PUSH_REQ: pushRequest,
  MSG_PUSH_ACK: pushAck,
  MSG_HELO_REQ: helo,
  MSG_STAT_REQ: stat,
  MSG_GBYE_REQ: gbye,
  MSG_KEEP_REQ: keep,
  MSG_BACK_REQ: back,
  MSG_PEEK_REQ: peek,
  MSG_MOVE_REQ: move,
  MSG_DROP_REQ: drop,
};

export const MESSAGE_TYPES: readonly MessageType[] = Object.values(TYPES);

const BY_NAME_OR_NUMBER = new Map<unknown, MessageType>(
  MESSAGE_TYPES.flatMap((type) => [
    [type.request, type],
    [type.number, type],
  ]),
);

const KNOWN = MESSAGE_TYPES.filter((type) => type !== pushRequest && type !== pushAck)
  .map(({ request, number }) => `${request} (${number})`)
  .join(', ');

const GLANCES = new Map(MESSAGE_TYPES.flatMap(({ schema }) => (schema ? [[schema, glanceOf(schema)]] : [])));

/** Requests of a batch that are started in one turn of the event loop: 3 to 5 ms of work. */
const AT_ONCE = 100;

/** Characters. */
const LONG_PAYLOAD = 1_024;

/** What can be said of a request whose type is not known. */
const ANY_REQUEST = requestSchema().unknown();

/**
 * Carries out one request.
 * @param text one JSON object
 * @returns the reply, JSON text, its code 200
 * @throws BrokerError; its msgType tells the reply that this would have been, once that is known
 */
export async function answer(text: string, broker: Broker, client: Client): Promise<string> {
  return answerRequest(parseRequest(text), broker, client);
}

/**
 * Carries out the requests of a batch, each as if it had come alone. They are started in their order, {@link AT_ONCE} at a time,
 * without waiting for answers, so that their commands leave in few packets; but a SEND that goes another way to Redis than the
 * one before it to the same queue waits for that one, so that they stay in order.
 * @param text a JSON array of 1 to `most` requests
 * @returns for each what {@link answer} would return or throw
 * @throws BrokerError when nothing was done: invalid_json, invalid_request, too_large, overloaded
 */
export async function answerBatch(
  text: string,
  broker: Broker,
  client: Client,
  most: number,
): Promise<PromiseSettledResult<string>[]> {
  const requests = parseBatch(text, most);
  client.startBatch(requests.length);
  const sends = new Map<unknown, Sends>();
  const answers: Promise<PromiseSettledResult<string>[]>[] = [];
  for (let first = 0; first < requests.length; first += AT_ONCE) {
    if (first > 0) await client.turn(true);
    const started = requests
      .slice(first, first + AT_ONCE)
      .map((request) =>
        request instanceof BrokerError ? Promise.reject(request) : answerInOrder(request, broker, client, sends),
      );
    answers.push(Promise.allSettled(started));
  }
  return (await Promise.all(answers)).flat();
}

/** SENDs to one queue that take one way. */
interface Sends {
  readonly way: string;
  /** When those before them, which took another way, have ended. */
  readonly start: Promise<unknown> | undefined;
  readonly underWay: Promise<string>[];
}

function answerInOrder(
  request: RequestText,
  broker: Broker,
  client: Client,
  sends: Map<unknown, Sends>,
): Promise<string> {
  const { fields } = request;
  const way = BY_NAME_OR_NUMBER.get(fields.msg_type)?.way?.(fields);
  if (way === undefined) return answerRequest(request, broker, client);
  let line = sends.get(fields.daddr);
  if (line?.way !== way) {
    line = { way, start: line && Promise.allSettled(line.underWay), underWay: [] };
    sends.set(fields.daddr, line);
  }
  const carryOut = (): Promise<string> => answerRequest(request, broker, client);
  const answered = line.start ? line.start.then(carryOut) : carryOut();
  line.underWay.push(answered);
  return answered;
}

async function answerRequest({ fields, payload }: RequestText, broker: Broker, client: Client): Promise<string> {
  // its text is what counts; what JSON.parse has made of it may take twenty times as much memory until the answer
  if (payload !== undefined && payload.length > LONG_PAYLOAD) (fields as Record<string, unknown>).payload = null;
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
    // no promise more where nothing waits
    const text = await (lane === undefined || lane.enters(client.who, cost)
      ? carryOut(type, fields, broker, payload ?? '', client)
      : lane.wait(client.who, cost, () => carryOut(type, fields, broker, payload ?? '', client)));
    observer?.answered(type.request, undefined, performance.now() - sinceMs, isWait(type, fields));
    return text;
  } catch (error) {
    const failure = inReplyTo(type, error);
    observer?.answered(type.request, failure.reason, performance.now() - sinceMs, isWait(type, fields));
    throw failure;
  } finally {
    lane?.leave(client.who, cost);
  }
}

/** Which way a request goes to Redis, among those of its client. */
function laneOf(type: MessageType, { saddr, daddr, durability }: Fields, broker: Broker): Lane {
  const { light } = broker.queues;
  if (type !== send) return light.lane(saddr as number);
  const level = (durability as Durability | undefined) ?? broker.durability;
  return light.lane(daddr as number, level === 'primary' ? '' : level);
}

/** A RECV that may wait for a message. */
const isWait = (type: MessageType, { wait_ms }: Fields): boolean => type === recv && (wait_ms as number) > 0;

/** In a span of its own, where requests are traced. */
function carryOut(type: MessageType, fields: Fields, broker: Broker, payload: string, client: Client): Promise<string> {
  const { traces } = broker;
  if (traces === undefined) return type.handle(fields as never, broker, payload, client);
  return traces.request(type.request, fields, (traceparent) =>
    type.handle({ ...fields, traceparent } as never, broker, payload, client),
  );
}

function typeOf(fields: Fields): MessageType {
  const given = fields.msg_type;
  const type = BY_NAME_OR_NUMBER.get(given);
  if (type !== undefined) return type;
  const missing = given === undefined;
  const fault = missing ? 'msg_type is required' : 'msg_type is not a request that this broker knows';
  const details = [{ field: 'msg_type', message: fault }, ...(faultsOf(ANY_REQUEST, fields)?.told ?? [])];
  throw new BrokerError(missing ? 'invalid_request' : 'unknown_msg_type', `${fault}: use ${KNOWN}`, { details });
}

/**
 * Whether the client may comes before what is wrong: who may not costs no search for faults. Only of an address that is none
 * nobody can say whether he may.
 */
function check(type: MessageType, fields: Fields, client: Client): void {
  const { request, schema, needs } = type;
  const isPlain = schema === undefined || GLANCES.get(schema)?.(fields) === true;
  const isKnown = isPlain || ((!needs.saddr || isAddress(fields.saddr)) && (!needs.daddr || isAddress(fields.daddr)));
  if (isKnown) permit(type, fields, client);
  if (!isPlain) validate(request, schema, fields);
  if (!isKnown) permit(type, fields, client);
}

function validate(request: string, schema: Joi.ObjectSchema, fields: Fields): void {
  const faults = faultsOf(schema, fields);
  if (faults === undefined) return;
  throw new BrokerError('invalid_request', `${request} is not valid: ${sentenceOf(faults)}`, { details: faults.told });
}

/** @throws BrokerError forbidden */
function permit({ request, needs, orNeeds }: MessageType, { saddr, daddr }: Fields, { access }: Client): void {
  if (needs.saddr && !access.may(needs.saddr, saddr as number))
    if (orNeeds === undefined) throw forbidden(request, needs.saddr, 'saddr', saddr, access);
    else if (!access.may(orNeeds, saddr as number))
      throw forbidden(request, `${needs.saddr} or ${orNeeds}`, 'saddr', saddr, access);
  if (needs.daddr && !access.may(needs.daddr, daddr as number))
    throw forbidden(request, needs.daddr, 'daddr', daddr, access);
}

function forbidden(request: string, action: string, field: string, address: unknown, { name }: Access): BrokerError {
  const message = `${request} needs the permission ${action} for the address ${String(address)}, which your credentials do not give`;
  const about = { who: name, request, address: address as number };
  return new BrokerError('forbidden', message, { details: [{ field, message }], about });
}

function inReplyTo(type: MessageType, error: unknown): BrokerError {
  const failure =
    error instanceof BrokerError
      ? error
      : new BrokerError('internal', 'the broker failed; its log says more', { outcome: 'unknown', cause: error });
  failure.msgType = type.reply;
  return failure;
}
