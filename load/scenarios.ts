// THE table of scenarios: what the connections of each do.
import { pause } from './conversation.js';
import type { Conversation } from './conversation.js';
import { addressAt, free, freeMany, receive, receiveMany, send, sendMany } from './exchange.js';
import type { Run } from './exchange.js';
import type { Scenario, Variant } from './scenario.js';

type Talk = Variant['talk'];

const QUEUES = 100;
const BATCH = 100;
/** More than one worker delivers in a second. */
const RECEIVED_PER_SECOND = 12_000;
/** A prime number, so that it reaches all queues, each time at another distance from the other connections. */
const STRIDE = 7919;
const LEVELS = ['primary', 'quorum', 'all'];
const PROBES = 3;
/** A consumer sends two requests per message, a producer one. */
const PRODUCER_OF = 3;
const EMPTY_PAUSE_MS = 5;
/** Pause of a slow consumer per message, and of its producer before the next one. */
const WORK_MS = 10;
/** wait_ms of a waiter, after which it checks whether there is time left. */
const WAIT_MS = 1000;
/** Random pause before a SEND, so that the receiver is certainly waiting and pairs are not synchronized. */
const PAUSE_MS = { least: 10, most: 30 };
const SOAK_S = 600;

/** Runs `one` at one address after the other until time is up, each connection starting at a different one. */
const atEach = (one: (run: Run, address: number) => Conversation<unknown>, stride = 1): Talk =>
  function* (run, connection) {
    for (let i = connection; run.goesOn(); i++) yield* one(run, addressAt(run, i * stride));
  };

/** SEND, RECV and FREE; of several connections at a queue one may receive what another has sent. */
function* cycle(run: Run, address: number): Conversation {
  yield* send(run, address);
  yield* receiveAndFree(run, address);
}

/** @returns whether there was a message */
function* receiveAndFree(run: Run, address: number, workMs = 0): Conversation<boolean> {
  const message = yield* receive(run, address);
  if (workMs > 0) yield* pause(workMs);
  if (message) yield* free(run, message);
  return message !== undefined;
}

function* batch(run: Run, address: number): Conversation {
  yield* sendMany(run, address, BATCH);
  const held = yield* receiveMany(run, address, BATCH);
  if (held && held.length > 0) yield* freeMany(run, address, held);
}

const cycles = atEach(cycle);
/** The variant of a scenario that has only one. */
const only = (talk: Talk, more: Partial<Variant> = {}): Variant[] => [{ name: '', queues: QUEUES, talk, ...more }];

/** Ends when all queues were empty in one round. */
const receiveAll: Talk = function* (run, connection) {
  for (let i = connection, empty = 0; run.goesOn() && empty < QUEUES; i++)
    empty = (yield* receiveAndFree(run, addressAt(run, i))) ? 0 : empty + 1;
};

const produceOrConsume: Talk = function* (run, connection) {
  for (let i = connection; run.goesOn(); i++)
    if (connection % PRODUCER_OF === 0) yield* send(run, addressAt(run, i));
    else if (!(yield* receiveAndFree(run, addressAt(run, i)))) yield* pause(EMPTY_PAUSE_MS);
};

const slowly: Talk = function* (run, connection) {
  for (let i = connection; run.goesOn(); i++) {
    if (connection % 2 === 1) yield* receiveAndFree(run, addressAt(run, i), WORK_MS);
    else {
      yield* send(run, addressAt(run, i));
      yield* pause(WORK_MS);
    }
  }
};

/** The first SEND may fail because the worker does not know yet how many replicas there are. */
function* whyNot(run: Run, durability: string): Conversation<string | undefined> {
  for (let i = 0; i < PROBES; i++)
    if ((yield* send(run, addressAt(run, i), { durability })) === 'done') return undefined;
  const reasons = [...(run.tally.rows.get('SEND')?.failures.keys() ?? [])].join(', ');
  return `the deployment cannot give ${durability}: the replies to ${PROBES} SENDs were ${reasons}`;
}

/** Pairs of connections: one waits with RECV, the other SENDs to it. */
interface Pair {
  address: number;
  isWaiting: boolean;
  sentMs: number | undefined;
}

function inPairs(): Talk {
  const pairs: Pair[] = [];
  return (run, connection) => {
    const number = connection >> 1;
    const pair = (pairs[number] ??= { address: addressAt(run, number), isWaiting: false, sentMs: undefined });
    return connection % 2 === 0 ? waiter(run, pair) : waker(run, pair);
  };
}

function* waiter(run: Run, pair: Pair): Conversation {
  while (run.goesOn()) {
    pair.isWaiting = true;
    const message = yield* receive(run, pair.address, { wait_ms: WAIT_MS });
    pair.isWaiting = false;
    if (!message) continue;
    if (pair.sentMs !== undefined) run.tally.measured('wake-up', performance.now() - pair.sentMs);
    pair.sentMs = undefined;
    yield* free(run, message);
  }
}

function* waker(run: Run, pair: Pair): Conversation {
  while (run.goesOn()) {
    yield* pause(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
    if (!pair.isWaiting) continue;
    pair.sentMs = performance.now();
    yield* send(run, pair.address);
  }
}

export const SCENARIOS: readonly Scenario[] = [
  { name: 'send', summary: 'SEND alone, to 100 queues', variants: () => only(atEach(send)) },
  {
    name: 'receive',
    summary: 'RECV and FREE of messages waiting in 100 queues; ends early when none is left',
    variants: ({ durationS = 10 }) =>
      only(receiveAll, { waiting: RECEIVED_PER_SECOND * durationS, waitingWithinS: durationS }),
  },
  { name: 'cycle', summary: 'SEND, RECV and FREE in turns, over 100 queues', variants: () => only(cycles) },
  {
    name: 'mixed',
    summary: 'a third of the connections SENDs, the others RECV and FREE, at 16 queues',
    variants: () => only(produceOrConsume, { queues: 16, leastConnections: 2 }),
  },
  {
    name: 'queues',
    summary: 'cycles at one hot queue, and over 10,000 queues',
    variants: () => [
      { name: '1 queue', queues: 1, talk: cycles },
      { name: '10,000 queues', queues: 10_000, talk: atEach(cycle, STRIDE) },
    ],
  },
  {
    name: 'payloads',
    summary: 'cycles with payloads of 100 B, 10 KB and 200 KB',
    variants: () =>
      Object.entries({ '100 B': 100, '10 KB': 10_000, '200 KB': 200_000 }).map(([name, payloadLength]) => ({
        name,
        queues: QUEUES,
        payloadLength,
        talk: cycles,
      })),
  },
  {
    name: 'batches',
    summary: 'cycles of 100 messages: 100 SENDs in one body, RECV max 100, FREE ids',
    variants: () => only(atEach(batch)),
  },
  {
    name: 'wake-up',
    summary: 'long poll: from a SEND to the reply of the RECV that waited for it, in pairs of connections',
    variants: ({ connections }) =>
      only(inPairs(), { queues: Math.max(1, Math.ceil(connections / 2)), leastConnections: 2 }),
  },
  {
    name: 'durability',
    summary: 'SEND at primary, quorum and all; levels that the deployment cannot provide are skipped',
    variants: () =>
      LEVELS.map((durability) => ({
        name: durability,
        queues: QUEUES,
        probe: (run) => whyNot(run, durability),
        talk: atEach((run, address) => send(run, address, { durability })),
      })),
  },
  {
    name: 'backlog',
    summary: 'slow consumers and as many producers, with none waiting and with a million (--waiting) in 100 queues',
    variants: (options) =>
      [0, options.waiting].map((waiting) => ({
        name: `${waiting.toLocaleString('en')} waiting`,
        queues: QUEUES,
        waiting,
        talk: slowly,
      })),
  },
  {
    name: 'soak',
    summary: 'cycles for 10 minutes (--duration), a sample every 60th of it (--sample): what drifts',
    variants: () => only(cycles, { durationS: SOAK_S, samples: true }),
  },
];
