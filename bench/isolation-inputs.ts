// The inputs of `npm run bench -- isolation`: with each, one client has taken the broker from the others.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpRequest } from '../harness/connection.js';
import { recvRequest, sendRequest } from '../harness/requests.js';

/** The client that does it. Its key may send and receive as the addresses from 1000 on, and send to anybody. */
export interface Attacker {
  readonly url: string;
  readonly key: string;
  /** POSTs a body. @returns the reply's text and status; never throws: a connection that broke is status 0 */
  readonly ask: (body: unknown, key?: string) => Promise<{ status: number; text: string }>;
}

export interface Input {
  /** As in the issue's list of cases, and what of it. */
  readonly name: string;
  readonly says: string;
  /** Settings of the worker beyond the usual. */
  readonly env?: Readonly<Record<string, string>>;
  /** Before anything is measured. */
  readonly prepare?: (attacker: Attacker) => Promise<void>;
  /** How many do it at once. */
  readonly connections: number;
  /** Done again and again until the end. `nth` counts from 0, on each connection. */
  readonly flood: (attacker: Attacker, nth: number, connection: number) => Promise<unknown>;
}

const FIRST = 1_000;
const MB = 'x'.repeat(1_000_000);

const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const send = (daddr: number, id: number, payload: unknown = 'x'.repeat(100), more: object = {}): object => ({
  ...sendRequest(daddr, id, payload, FIRST),
  ...more,
});
const recv = (saddr: number, more: object = {}): object => ({ ...recvRequest(saddr), ...more });
const about = (type: string, saddr: number, more: object = {}): object => ({
  ...recvRequest(saddr),
  msg_type: `MSG_${type}_REQ`,
  ...more,
});
/** Where it is taken, nothing dies in a run. */
const MANY_DELIVERIES = { settings: { max_deliveries: 1_000_000 } };

async function fill(attacker: Attacker, queues: number, messages: number, more: object = {}): Promise<void> {
  for (let queue = 0; queue < queues; queue++) {
    await attacker.ask(about('HELO', FIRST + queue, MANY_DELIVERIES));
    for (let first = 0; first < messages; first += 1_000)
      await attacker.ask(
        times(Math.min(1_000, messages - first), (i) => send(FIRST + queue, first + i, 'x'.repeat(100), more)),
      );
  }
}

async function fillLarge(attacker: Attacker, messages: number): Promise<void> {
  await attacker.ask(about('HELO', FIRST, MANY_DELIVERIES));
  for (let id = 0; id < messages; id++) await attacker.ask(send(FIRST, id, MB));
}

/** Writes bytes on a connection of its own, reads nothing, and waits until it is cut. */
function writeOnly({ url, key }: Attacker, bodies: readonly string[], untilMs = 20_000): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  for (const body of bodies) socket.write(httpRequest(body, { headers: { Authorization: `Bearer ${key}` } }));
  socket.pause();
  return new Promise((done) => {
    const timer = setTimeout(() => socket.destroy(), untilMs);
    socket
      .on('error', () => undefined)
      .once('close', () => {
        clearTimeout(timer);
        // a client that is refused at once does not ask at once again
        void sleep(10).then(done);
      });
  });
}

const jwt = (): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = part({ alg: 'ES256', kid: randomBytes(8).toString('hex') });
  const exp = Math.floor(Date.now() / 1_000) + 60;
  return `${head}.${part({ iss: 'https://issuer.test/', aud: 'aizumi', sub: 'a', exp })}.${'A'.repeat(86)}`;
};

const MANY = 100;
const BAD_IDS = JSON.stringify(about('FREE', 1, { ids: times(100_000, () => '') }));
const BLANKS = ' '.repeat(1_048_576);

export const INPUTS: readonly Input[] = [
  {
    name: 'B1 RECV',
    says: '100 × RECV max 1000 in a body, of 100 queues of 1,000',
    prepare: (attacker) => fill(attacker, MANY, 1_000),
    connections: 1,
    flood: ({ ask }) => ask(times(MANY, (i) => recv(FIRST + i, { max: 1_000, visibility_timeout_ms: 0 }))),
  },
  {
    name: 'B1 FREE',
    says: '100 × FREE of 1,000 ids in a body',
    prepare: (attacker) => fill(attacker, MANY, 1_000),
    connections: 1,
    flood: async ({ ask }, nth) => {
      if (nth % 4 === 0) await ask(times(MANY, (i) => recv(FIRST + i, { max: 1_000 })));
      await ask(times(MANY, (i) => about('FREE', FIRST + i, { ids: times(1_000, (id) => id) })));
    },
  },
  {
    name: 'B1 PEEK',
    says: '100 × PEEK max 1000 in a body',
    prepare: (attacker) => fill(attacker, MANY, 1_000),
    connections: 1,
    flood: ({ ask }) => ask(times(MANY, (i) => about('PEEK', FIRST + i, { state: 'waiting', max: 1_000 }))),
  },
  {
    name: 'B1 parallel',
    says: '32 connections, each RECV max 1000',
    prepare: (attacker) => fill(attacker, 32, 1_000),
    connections: 32,
    flood: ({ ask }, _, connection) => ask(recv(FIRST + connection, { max: 1_000, visibility_timeout_ms: 0 })),
  },
  {
    name: 'B2',
    says: '1,000 × RECV of one message of 1 MB in a body',
    prepare: (attacker) => fillLarge(attacker, 1),
    connections: 1,
    flood: async ({ ask }) => {
      const { text } = await ask(times(1_000, () => recv(FIRST, { visibility_timeout_ms: 0 })));
      if (text.includes('queue_empty')) await ask(send(FIRST, 0, MB));
    },
  },
  {
    name: 'B3',
    says: 'RECV max 16 of messages of 1 MB',
    prepare: (attacker) => fillLarge(attacker, 16),
    connections: 4,
    flood: async ({ ask }, nth) => {
      const { status } = await ask(recv(FIRST, { max: 16, visibility_timeout_ms: 0 }));
      if (status === 404) await ask(send(FIRST, nth, MB));
    },
  },
  {
    name: 'B4',
    says: '100 connections, PEEK max 10 of messages of 1 MB, nothing read',
    prepare: (attacker) => fillLarge(attacker, 10),
    connections: 100,
    flood: (attacker) => writeOnly(attacker, [JSON.stringify(about('PEEK', FIRST, { state: 'waiting', max: 10 }))]),
  },
  {
    name: 'B5',
    says: 'FREE with 100,000 ids that are none, without permission',
    connections: 4,
    flood: ({ ask }) => ask(BAD_IDS),
  },
  {
    name: 'B6',
    says: 'bodies of 1 MiB of blanks, AIZUMI_MAX_EVENT_LOOP_DELAY_MS=100',
    env: { AIZUMI_MAX_EVENT_LOOP_DELAY_MS: '100' },
    connections: 8,
    flood: ({ ask }, _, connection) => ask(connection === 0 ? BAD_IDS : BLANKS),
  },
  {
    name: 'B7 pipelined',
    says: '60,000 RECVs that wait, on one connection',
    connections: 1,
    flood: (attacker) =>
      writeOnly(
        attacker,
        times(60_000, () => JSON.stringify(recv(FIRST, { wait_ms: 20_000 }))),
      ),
  },
  {
    name: 'B7 batches',
    says: '200 bodies of 1,000 RECVs that wait',
    connections: 200,
    flood: ({ ask }) => ask(times(1_000, () => recv(FIRST, { wait_ms: 20_000 }))),
  },
  {
    name: 'B8',
    says: 'RECV max 1000 with a new attempt_id and a lease of 12 h, GBYE',
    prepare: (attacker) => fill(attacker, 1, 1_000),
    connections: 1,
    flood: async (attacker, nth) => {
      const attempt_id = `${nth} `.padEnd(64, 'x');
      const { status } = await attacker.ask(recv(FIRST, { max: 1_000, visibility_timeout_ms: 43_200_000, attempt_id }));
      await attacker.ask(about('GBYE', FIRST));
      if (status === 404) await fill(attacker, 1, 1_000);
    },
  },
  {
    name: 'B9',
    says: 'SENDs to ever more addresses',
    connections: 2,
    flood: ({ ask }, nth, connection) =>
      ask(times(1_000, (i) => send(10_000_000 * (connection + 1) + 1_000 * nth + i, i))),
  },
  {
    name: 'B9 large',
    says: 'SENDs of 1 MB to 1,000 addresses',
    connections: 4,
    flood: ({ ask }, nth, connection) => ask(send(FIRST + ((4 * nth + connection) % 1_000), nth, MB)),
  },
  {
    name: 'B10',
    says: 'max_queue_length 2^53 − 1, SENDs of 10 KB, AIZUMI_MAX_QUEUE_LENGTH=10000',
    env: { AIZUMI_MAX_QUEUE_LENGTH: '10000' },
    connections: 4,
    flood: async ({ ask }, nth) => {
      if (nth === 0) await ask(about('HELO', FIRST, { settings: { max_queue_length: Number.MAX_SAFE_INTEGER } }));
      await ask(times(90, (i) => send(FIRST, i, 'x'.repeat(10_000))));
    },
  },
  {
    name: 'B11 DROP',
    says: '20 × DROP with ids that are not there in a body, of 200,000 messages',
    prepare: (attacker) => fill(attacker, 1, 200_000),
    connections: 1,
    flood: ({ ask }) => ask(times(20, () => about('DROP', FIRST, { state: 'waiting', ids: [1e15] }))),
  },
  {
    name: 'B11 MOVE',
    says: '20 × MOVE with ids that are not there in a body, of 20,000 dead messages',
    prepare: async (attacker) => {
      await fill(attacker, 1, 20_000);
      await attacker.ask(about('HELO', FIRST, { settings: { max_deliveries: 1 } }));
      for (let i = 0; i < 60; i++) await attacker.ask(recv(FIRST, { max: 1_000, visibility_timeout_ms: 0 }));
    },
    connections: 1,
    flood: ({ ask }) => ask(times(20, () => about('MOVE', FIRST, { ids: [1e15] }))),
  },
  {
    name: 'B13',
    says: 'tokens with unknown kids, the issuer is down',
    env: {
      AIZUMI_JWT_ISSUER: 'https://issuer.test/',
      AIZUMI_JWT_AUDIENCE: 'aizumi',
      AIZUMI_JWT_JWKS_URL: 'http://127.0.0.1:9/jwks.json',
    },
    connections: 64,
    flood: ({ ask }) => ask(recv(FIRST), jwt()),
  },
  {
    name: 'B14',
    says: 'RECVs of a queue of 150,000 messages that have expired',
    prepare: (attacker) => fill(attacker, 1, 150_000, { ttl_ms: 1 }),
    connections: 4,
    flood: async ({ ask }, nth) => {
      const { status } = await ask(recv(FIRST));
      if (status === 404 && nth % 4 === 0) await ask(times(1_000, (id) => send(FIRST, id, 'x', { ttl_ms: 1 })));
    },
  },
];
