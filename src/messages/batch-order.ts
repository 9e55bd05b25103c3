// The requests of a batch: they are started in their order, and SENDs to one queue reach Redis in that order.
import { BATCH_STARTED_AT_ONCE } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { answerRequest } from './dispatch.js';
import { parseBatch } from './json-text.js';
import type { RequestText } from './json-text.js';
import type { Broker, Client } from './message-type.js';
import { findType } from './table.js';

/**
 * Carries out the requests of a batch, each as if it had been sent alone. They are started {@link BATCH_STARTED_AT_ONCE} at a
 * time, without waiting for replies, so that their commands leave in few packets. Only a SEND that takes another route to Redis
 * than the SEND before it to the same queue waits for that one, so that the two stay in order.
 * @param text a JSON array of 1 to `most` requests
 * @returns for each request its reply, or the BrokerError with which it failed
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
  for (let first = 0; first < requests.length; first += BATCH_STARTED_AT_ONCE) {
    if (first > 0) await client.turn(true);
    const started = requests
      .slice(first, first + BATCH_STARTED_AT_ONCE)
      .map((request) =>
        request instanceof BrokerError ? Promise.reject(request) : answerInOrder(request, broker, client, sends),
      );
    answers.push(Promise.allSettled(started));
  }
  return (await Promise.all(answers)).flat();
}

/** Consecutive SENDs to one queue that take the same route. */
interface Sends {
  readonly route: string;
  /** Settles when the earlier SENDs, which took another route, have ended; undefined: there were none. */
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
  const route = findType(fields)?.route?.(fields);
  if (route === undefined) return answerRequest(request, broker, client);
  let group = sends.get(fields.daddr);
  if (group?.route !== route) {
    group = { route, start: group && Promise.allSettled(group.underWay), underWay: [] };
    sends.set(fields.daddr, group);
  }
  const carryOut = (): Promise<string> => answerRequest(request, broker, client);
  const answered = group.start ? group.start.then(carryOut) : carryOut();
  group.underWay.push(answered);
  return answered;
}
