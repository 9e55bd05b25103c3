// The traffic: requests for 100 addresses, every message different, dealt out to the connections.
import type { Request } from 'autocannon';
import { freeRequest, payloadOf, recvRequest, sendRequest } from '../harness/requests.js';

export const CONNECTIONS = 64;
export const ADDRESSES = 100;
export const FIRST_ADDRESS = 1000;
/** Counts of requests are multiples of this: every connection and every address gets the same number. */
export const EVEN_SHARE = 1600;

/** To whom, and how much. */
export interface Load {
  addresses: readonly number[];
  /** Of each message, characters. */
  payloadLength: number;
}

export const USUAL: Load = {
  addresses: Array.from({ length: ADDRESSES }, (_, i) => FIRST_ADDRESS + i),
  payloadLength: 100,
};

export interface Held {
  daddr: number;
  id: number;
}

let lastId = 1_000_000; // seven digits throughout, so that all messages are of one size

/** Takes `count` ids that no other message of this run has; returns the first. */
export function takeIds(count: number): number {
  const first = lastId + 1;
  lastId += count;
  return first;
}

export function sends(count: number, firstId: number, load = USUAL): Request[] {
  return range(count, (i) => send(addressOf(i, load), firstId + i, load.payloadLength));
}

export function receives(count: number, load = USUAL): Request[] {
  return range(count, (i) => post(recvRequest(addressOf(i, load))));
}

export function frees(held: Held[]): Request[] {
  return held.map(({ daddr, id }) => post(freeRequest(daddr, id)));
}

/** Deals requests out like cards, so that at any moment the connections are at different addresses. */
export function deal(requests: Request[], connections = CONNECTIONS): Request[][] {
  return range(connections, (c) => requests.filter((_, i) => i % connections === c));
}

/** Complete cycles: each connection SENDs to an address, RECVs there and FREEs what it got, over and over. */
export function cycles(count: number, firstId: number, connections = CONNECTIONS): Request[][] {
  const triples = range(count, (i) => cycle(addressOf(i), firstId + i));
  return range(connections, (c) => triples.filter((_, i) => i % connections === c).flat());
}

/**
 * Checks that the replies to RECV are messages that were sent, each exactly once, and unchanged.
 * @param sent how many there are to receive, from `firstId` on
 */
export function received(bodies: string[], firstId: number, load = USUAL, sent = bodies.length): Held[] {
  const seen = new Set<number>();
  return bodies.map((body) => {
    const { daddr, id, payload } = JSON.parse(body) as Held & { payload: unknown };
    const known = id >= firstId && id < firstId + sent && !seen.has(id);
    if (!known || payload !== payloadOf(id, load.payloadLength))
      throw new Error(`RECV returned what was not sent, or twice: ${body}`);
    seen.add(id);
    return { daddr, id };
  });
}

function cycle(address: number, id: number): Request[] {
  let got: any; // the message's id, or the entry's id where native.mjs answers
  return [
    send(address, id),
    {
      ...post(recvRequest(address)),
      onResponse: (_status, body) => {
        got = (JSON.parse(body) as { id?: unknown }).id;
      },
    },
    {
      setupRequest: (request) => ({
        ...request,
        ...post(freeRequest(address, got)),
      }),
    },
  ];
}

function send(daddr: number, id: number, length?: number): Request {
  return post(sendRequest(daddr, id, payloadOf(id, length), 1 + (id % CONNECTIONS)));
}

const post = (body: object): Request => ({ method: 'POST', body: JSON.stringify(body) });

const addressOf = (i: number, { addresses } = USUAL): number => addresses[i % addresses.length]!;

function range<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}
