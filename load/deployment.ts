// Requests to the broker besides the load: whether it responds, whether the addresses are free, what is left in their queues.
import { setTimeout as sleep } from 'node:timers/promises';
import { gbyeRequest, heloRequest, statRequest } from '../harness/requests.js';

export interface Deployment {
  url: string;
  headers: Record<string, string>;
}

export interface Addresses {
  first: number;
  count: number;
}

/** A message for the user: what is wrong and what to do. */
export class LoadError extends Error {}

/** Requests in one body: below any AIZUMI_MAX_BATCH that is likely to be set. */
const BATCH = 100;
const TRIES = 5;
const TIMEOUT_MS = 30_000;
/** No lease ends within a run, so every redelivery is a fault; and returned messages never become dead. */
const SETTINGS = { visibility_timeout_ms: 600_000, max_deliveries: 1000 };
/** Above the addresses that are usually chosen. */
const RANDOM_FROM = 2 ** 31;
const RANDOM_STEP = 20_000;

/** @throws LoadError if there is no reply, or not one from aizumi */
export async function checkBroker(deployment: Deployment): Promise<string> {
  const [reply] = await ask(deployment, [statRequest(0)]);
  const version = reply.payload?.broker?.version;
  if (typeof version !== 'string')
    throw new LoadError(`${deployment.url} is not aizumi: its reply to STAT was ${show(reply)}`);
  return version;
}

export function randomAddress(): number {
  return RANDOM_FROM + RANDOM_STEP * Math.floor(Math.random() * ((RANDOM_FROM - RANDOM_STEP) / RANDOM_STEP));
}

/** Creates the queues of this run. @throws LoadError if one of them exists already */
export async function claim(deployment: Deployment, addresses: Addresses): Promise<void> {
  const taken = (await queuesOf(deployment, addresses)).find(({ queue }) => queue !== null);
  if (taken) {
    const { address } = taken;
    throw new LoadError(`address ${address} already has a queue, which may be in use: choose another --first-address`);
  }
  await askEach(deployment, addresses, (address) => ({ ...heloRequest(address), settings: SETTINGS }));
}

/** For queues that are kept: resets their settings for leases and deliveries to the deployment's. */
export async function forgetSettings(deployment: Deployment, addresses: Addresses): Promise<void> {
  const none = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, null]));
  await askEach(deployment, addresses, (address) => ({ ...heloRequest(address), settings: none }));
}

/** Returns leased messages to their queues, and removes empty queues. */
export async function leave(deployment: Deployment, addresses: Addresses): Promise<void> {
  await askEach(deployment, addresses, gbyeRequest);
}

/** Messages in the queues, in any state. `queues`: how many of the queues exist. */
export async function countLeft(
  deployment: Deployment,
  addresses: Addresses,
): Promise<{ messages: number; queues: number }> {
  const queues = (await queuesOf(deployment, addresses)).flatMap(({ queue }) => (queue === null ? [] : [queue]));
  const messages = queues.reduce(
    (sum, { waiting, leased, delayed, dead }) => sum + waiting + leased + delayed + dead,
    0,
  );
  return { messages, queues: queues.length };
}

interface Stat {
  waiting: number;
  leased: number;
  delayed: number;
  dead: number;
}

async function queuesOf(
  deployment: Deployment,
  addresses: Addresses,
): Promise<{ address: number; queue: Stat | null }[]> {
  const replies = await askEach(deployment, addresses, statRequest);
  return replies.map(({ payload }, i) => ({ address: addresses.first + i, queue: payload.queue as Stat | null }));
}

async function askEach(
  deployment: Deployment,
  { first, count }: Addresses,
  request: (address: number) => object,
): Promise<any[]> {
  const replies: any[] = [];
  for (let i = 0; i < count; i += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - i) }, (_, n) => request(first + i + n));
    replies.push(...(await ask(deployment, batch)));
  }
  return replies;
}

/** Retries requests that were not done temporarily. @throws LoadError if one of them fails for good */
async function ask(deployment: Deployment, requests: object[]): Promise<any[]> {
  for (let tries = 1; ; tries++) {
    const replies = await post(deployment, requests);
    const bad = replies.find((reply) => reply?.code !== 200);
    if (bad === undefined && replies.length === requests.length) return replies;
    const isForNow = [429, 503].includes(bad?.code) && tries < TRIES;
    if (!isForNow) throw new LoadError(whatToDo(deployment, bad));
    await sleep(1000);
  }
}

async function post({ url, headers }: Deployment, requests: object[]): Promise<any[]> {
  let text = '';
  try {
    const body = JSON.stringify(requests);
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
    const json = JSON.parse(text);
    return Array.isArray(json) ? json : [json];
  } catch (error) {
    const { name, message, cause } = error as Error & { cause?: { code?: string } };
    if (name === 'SyntaxError') throw new LoadError(`${url} is not aizumi: it replies ${show(text)}`);
    throw new LoadError(
      `${url} does not answer (${cause?.code ?? message}): start a broker (npm start), or name another with --url`,
    );
  }
}

function whatToDo({ url }: Deployment, reply: any): string {
  if (reply?.code === 401 || reply?.code === 403)
    return `${url} says ${reply.code} ${reply.error?.reason}: give a key with --api-key or AIZUMI_LOAD_API_KEY, and addresses that it is good for with --first-address`;
  if (reply?.code === 413) return `${url} takes no ${BATCH} requests in one body: raise AIZUMI_MAX_BATCH`;
  return `${url} answers ${show(reply)}`;
}

const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 300);
