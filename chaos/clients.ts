// Senders and receivers over HTTP that record their requests and replies.
import { setTimeout as pause } from 'node:timers/promises';
import { openClient } from '../harness/keep-alive-client.js';
import type { KeepAliveClient, Outcome } from '../harness/keep-alive-client.js';
import { freeRequest, gbyeRequest, recvRequest, sendRequest, statRequest } from '../harness/requests.js';
import { until } from '../harness/until.js';
import { answerOfReply } from '../harness/answer.js';
import type { Answer } from '../harness/answer.js';
import { breakOff, repeatable } from './break-off.js';
import type { History, Level } from './history.js';
import type { Random } from '../harness/random.js';

export interface LoadOptions {
  /** URLs of the workers. */
  urls: readonly string[];
  /** Addresses of receivers. */
  queues: readonly number[];
  /** Addresses received from only at the end, so that a message lost in a fail-over cannot have been delivered before. */
  stored: readonly number[];
  levels: readonly Level[];
  random: Random;
  /** Senders send rarely; those of the worker at `url`, which gets no other requests, send only after wake(). */
  idle?: { url: string } | undefined;
  /** The connections of some receivers break, and these repeat their RECVs. */
  breaksOff?: boolean;
  /** The first id; default: 1. */
  firstMessage?: number;
}

export interface Load {
  /** Makes the silent senders send for a while. */
  wake: () => void;
  /** Resolves when every client has its last reply. */
  stop(): Promise<void>;
  /** Sends GBYE for every receiver, after the leases that end in time have ended. */
  leave(): Promise<void>;
  /** Receives and frees until all queues are empty. @throws Error if this takes longer */
  drain(withinMs: number): Promise<void>;
}

/** Timeout of a request: more than the checker allows, so that it reports a hanging request. */
const TIMEOUT_MS = 8_000;
const SENDERS = 12;
const RECEIVERS_PER_QUEUE = 2;
/** Mean pause of a sender between two messages. */
const SEND_EVERY_MS = 25;
/** Attempts for a message sent with `dedup` while the outcome is "unknown". */
const TRIES = 5;
/** With `idle`: number and mean pause of the rare senders; number of the silent senders, and how long they send after wake(). */
const IDLE_SENDERS = 6;
const IDLE_EVERY_MS = 500;
const SILENT_SENDERS = 8;
const AWAKE_MS = 1_500;
/** With `breaksOff`: receivers per queue whose connections break, and how long they hold a message: less than a lease. */
const BREAKERS_PER_QUEUE = 3;
const HOLD_MS = 400;
const LEAVE_MS = 5_000;
/** Percentage of messages that are received and not freed. */
const FORGOTTEN = 3;

const payloadOf = (message: number): object => ({ message, text: `the payload of ${message}` });

export function startLoad(options: LoadOptions, history: History): Load {
  const { urls, queues, stored, levels, random, idle, breaksOff = false } = options;
  let stopped = false;
  let nextMessage = options.firstMessage ?? 1;
  let nextAttempt = nextMessage;
  let wake = (): void => undefined;
  const woken = new Promise<void>((resolve) => (wake = resolve));
  const all = [...queues, ...stored];
  const clients: Client[] = [];
  const newClient = (of = urls): Client => {
    const client = createClient(of, clients.length % of.length, history);
    clients.push(client);
    return client;
  };

  async function send(client: Client, everyMs: number, forMs = Infinity): Promise<void> {
    const endMs = performance.now() + forMs;
    while (!stopped && performance.now() < endMs) {
      const message = nextMessage++;
      const [queue, level, dedup] = [random.pick(all), random.pick(levels), random.next() < 0.5];
      const request = { ...sendRequest(queue, message, payloadOf(message)), durability: level, dedup };
      for (let tries = 1; ; tries++) {
        const { answer, ...times } = await client.ask(request);
        history.attempts.push({ message, queue, level, answer, ...times });
        if (!dedup || answer !== 'unknown' || tries === TRIES) break;
        await pause(50);
      }
      await pause(random.between(0, 2 * everyMs));
    }
  }

  /** @returns what was delivered */
  async function take(client: Client, queue: number, request: object, since?: object): Promise<Taken | undefined> {
    const { outcome, ...asked } = await client.ask(request);
    if (outcome.kind !== 'replied' || outcome.status !== 200) {
      history.receives.push({ queue, ...asked });
      return undefined;
    }
    const message = outcome.json.id as number;
    const intact = JSON.stringify(outcome.json.payload) === JSON.stringify(payloadOf(message));
    const delivery = outcome.json.delivery as { receipt: string } | undefined;
    const receipt = delivery && { receipt: delivery.receipt };
    history.receives.push({ queue, ...asked, message, intact, ...receipt, ...since });
    return { message, ...receipt };
  }

  async function free(client: Client, queue: number, { message, ...receipt }: Taken): Promise<void> {
    const { outcome, ...asked } = await client.ask({ ...freeRequest(queue, message), ...receipt });
    const leaseLost = outcome.kind === 'replied' && outcome.json.error?.reason === 'lease_lost';
    history.frees.push({ queue, message, ...receipt, ...asked, ...(leaseLost && { leaseLost }) });
  }

  /** @returns whether there was a message */
  async function receive(client: Client, queue: number, forget: boolean): Promise<boolean> {
    const taken = await take(client, queue, recvRequest(queue));
    if (taken && !forget) await free(client, queue, taken);
    return taken !== undefined;
  }

  async function receiveBrokenOff(client: Client, queue: number): Promise<void> {
    while (!stopped) {
      const attemptId = `attempt ${nextAttempt++}`;
      const taken = await breakOff({ urls, queue, attemptId, random, history }, (sinceMs) =>
        take(client, queue, repeatable(queue, attemptId), { sinceMs }),
      );
      await pause(random.between(0, 2 * HOLD_MS));
      if (taken) await free(client, queue, taken);
    }
  }

  async function receiveAll(client: Client, queue: number): Promise<void> {
    while (!stopped) {
      if (!(await receive(client, queue, random.between(1, 100) <= FORGOTTEN))) await pause(10);
    }
  }

  async function drainQueue(client: Client, queue: number, deadlineMs: number): Promise<void> {
    for (;;) {
      if (await receive(client, queue, false)) continue;
      const { outcome } = await client.ask(statRequest(queue));
      if (outcome.kind === 'replied' && isEmpty(outcome.json.payload?.queue)) return;
      if (performance.now() > deadlineMs) throw new Error(`queue ${queue} is not empty: ${JSON.stringify(outcome)}`);
      await pause(20);
    }
  }

  const senders = idle ? IDLE_SENDERS : SENDERS;
  const everyMs = idle ? IDLE_EVERY_MS : SEND_EVERY_MS;
  const running = [
    ...Array.from({ length: senders }, () => send(newClient(), everyMs)),
    ...Array.from({ length: idle ? SILENT_SENDERS : 0 }, async () => {
      await woken;
      await send(newClient([idle!.url]), SEND_EVERY_MS, AWAKE_MS);
    }),
    ...(breaksOff ? queues : []).flatMap((queue) =>
      Array.from({ length: BREAKERS_PER_QUEUE }, () => receiveBrokenOff(newClient(), queue)),
    ),
    ...queues.flatMap((queue) => Array.from({ length: RECEIVERS_PER_QUEUE }, () => receiveAll(newClient(), queue))),
  ];
  return {
    wake,
    async stop() {
      stopped = true;
      wake();
      await Promise.all(running);
      for (const client of clients) client.close();
    },
    async leave() {
      await pause(history.leaseMs);
      const client = newClient();
      for (const queue of all) {
        await until(
          `GBYE for ${queue} is done`,
          async () => (await client.ask(gbyeRequest(queue))).answer === 'done',
          LEAVE_MS,
        );
      }
      client.close();
    },
    async drain(withinMs) {
      const deadlineMs = performance.now() + withinMs;
      const drainers = all.flatMap((queue) => Array.from({ length: RECEIVERS_PER_QUEUE }, () => queue));
      await Promise.all(drainers.map((queue) => drainQueue(newClient(), queue, deadlineMs)));
      for (const client of clients) client.close();
    },
  };
}

/** Whether STAT reports neither waiting nor leased messages; null: the queue does not exist. */
const isEmpty = (queue: { waiting: number; leased: number } | null | undefined): boolean =>
  queue === null || (queue !== undefined && queue.waiting + queue.leased === 0);

interface Taken {
  message: number;
  receipt?: string;
}

interface Asked {
  askedMs: number;
  answeredMs: number;
  worker: number;
  answer: Answer;
}

interface Client {
  ask(request: object): Promise<Asked & { outcome: Outcome }>;
  close(): void;
}

/** Sends to one worker until it fails to reply, then to the next, as behind a load balancer. */
function createClient(urls: readonly string[], firstWorker: number, history: History): Client {
  const connections: KeepAliveClient[] = urls.map((url) => openClient(url, TIMEOUT_MS));
  let worker = firstWorker;
  return {
    async ask(request) {
      const asked = worker;
      const askedMs = performance.now();
      const outcome = await connections[asked]!.post(request);
      const answeredMs = performance.now();
      if (outcome.kind !== 'replied') {
        worker = (asked + 1) % urls.length;
        await pause(20);
      } else if (![200, 404, 503].includes(outcome.status) && outcome.json.error?.reason !== 'lease_lost')
        history.strange.push(`an answer ${outcome.status} ${outcome.json.error?.reason}`);
      return { askedMs, answeredMs, worker: asked, answer: answerOf(outcome), outcome };
    },
    close: () => connections.forEach((connection) => connection.close()),
  };
}

function answerOf(outcome: Outcome): Answer {
  if (outcome.kind === 'refused') return 'refused';
  if (outcome.kind === 'broken') return 'unknown';
  return answerOfReply(outcome.status, outcome.json.error);
}
