// Random requests for some seconds: no 500, no crashed worker, no memory leak, and nothing stored that was not answered 200.
// AIZUMI_TEST_SEED repeats a run, as far as timing permits.
import { expect } from 'chai';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import * as keys from '../../src/queue/keys.js';
import { MESSAGE_TYPES } from '../../src/messages/table.js';
import { chunk, httpRequest, openConnection } from '../../harness/connection.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import type { BrokerProcess } from '../../harness/process.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';
import { sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const THIRD_MS = 4_000;
/** So that even a slow machine reaches every kind of reply. */
const LEAST_ROUNDS = 8;
const AT_ONCE = 8;
const GROWTH = 4 * 1024 * 1024;

const address = fc.integer({ min: 0, max: 20 });
const odd = fc.oneof(
  fc.jsonValue(),
  fc.integer(),
  fc.double(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(-1, 2 ** 32, 2 ** 53, 1e999),
);
const NAMES = [
  ...[
    'msg_type',
    'saddr',
    'daddr',
    'id',
    'payload',
    'dedup',
    'delay_ms',
    'ttl_ms',
    'durability',
    'wait_ms',
    'max',
    'ids',
  ],
  ...[
    'visibility_timeout_ms',
    'details',
    'attempt_id',
    'settings',
    'receipt',
    'count',
    'state',
    'cursor',
    'traceparent',
    '__proto__',
    'constructor',
  ],
];

const digits = (most: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '8', '9'), minLength: 1, maxLength: most });
/** A part of a stream id: milliseconds or sequence. */
const part = fc.oneof(
  digits(25),
  fc.constantFrom('0', '1795627006899', '0000000000', '18446744073709551615', '18446744073709551616', '9'.repeat(23)),
);
const entry = fc.tuple(part, part).map((parts) => parts.join('-'));
const stamped = fc.tuple(entry, digits(17)).map((parts) => parts.join(':'));
const half = fc.constantFrom('\ud83d', '\ude00', 'a\ud800b', '😀');
const long = fc.oneof(fc.constantFrom(63, 64, 65, 1_000, 1_001, 20_000), fc.nat(70));
const text = fc.oneof(
  half,
  fc.string({ unit: 'binary' }),
  long.map((length) => 'x'.repeat(length)),
);
/** Values that look like those the broker issues, and lists and objects over their limits. */
const words = {
  state: fc.constantFrom('waiting', 'leased', 'delayed', 'dead'),
  cursor: fc
    .tuple(
      fc.constantFrom(0, 1, 1, 2, 3, 3, 4, 5),
      fc.oneof(fc.constant('0'), digits(18)),
      fc.oneof(entry, stamped, digits(20), fc.constantFrom('0', '-', ':', '0-0')),
    )
    .map((parts) => parts.join('.')),
  receipt: fc.oneof(
    stamped,
    fc.tuple(digits(17), entry).map((parts) => parts.join(':')),
    text,
  ),
  attempt_id: text,
  ids: fc.oneof(
    fc
      .tuple(long, fc.constantFrom(0, '', -1, null, 2 ** 53, []))
      .map(([length, id]) => Array<unknown>(length).fill(id)),
    fc.array(fc.oneof(fc.nat(50), odd)),
  ),
  settings: fc.oneof(
    fc.dictionary(
      fc.constantFrom('visibility_timeout_ms', 'max_deliveries', 'ttl_ms', '__proto__', 'x'),
      fc.oneof(fc.nat(2_000), fc.constant(null), odd),
    ),
    long.map((length) => Object.fromEntries(Array.from({ length }, (_, i) => [`a${i}`, i]))),
  ),
  traceparent: text,
  visibility_timeout_ms: fc.nat(100),
  details: fc.boolean(),
  max: fc.nat(1_001),
};
const bent = fc.record(words, { requiredKeys: [] });

/** Requests that are nearly valid: the fields of a type, some of them replaced. */
const request = fc
  .tuple(
    fc.constantFrom(...MESSAGE_TYPES.flatMap(({ request: name, number }) => [name, number])),
    fc.record({ saddr: address, daddr: address, id: fc.nat(50), payload: fc.jsonValue() }),
    fc.dictionary(
      fc.constantFrom(...NAMES.slice(5)),
      fc.oneof(
        fc.nat(50),
        fc.boolean(),
        fc.constantFrom('primary', 'all', 'waiting', 'dead', 'a'),
        fc.array(fc.nat(50)),
        odd,
      ),
      { maxKeys: 2 },
    ),
    fc.dictionary(fc.constantFrom(...NAMES), odd, { maxKeys: 1 }),
    fc.oneof({ weight: 5, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: bent }),
  )
  .map(([msgType, plain, more, wrong, some]) => ({ msg_type: msgType, ...plain, ...more, ...some, ...wrong }));

/** PEEKs, FREEs, KEEPs and BACKs that are valid except for cursors and receipts that were never issued. */
const own = fc
  .tuple(fc.constantFrom(5, 15, 17, 19, 19, 3, 9), address, fc.nat(50), fc.record(words))
  .map(([msgType, saddr, id, { state, cursor, receipt, attempt_id, settings }]) => ({
    msg_type: msgType,
    saddr,
    daddr: 5000,
    id,
    ...(msgType === 19 && { state, cursor }),
    ...([5, 15, 17].includes(msgType) && { receipt }),
    ...(msgType === 15 && { visibility_timeout_ms: 0 }),
    ...(msgType === 3 && { attempt_id, details: true }),
    ...(msgType === 9 && { settings }),
  }));

const rightSend = fc
  .tuple(address, fc.nat(50), fc.jsonValue(), address)
  .map(([daddr, id, payload, saddr]) => sendRequest(daddr, id, payload, saddr));

/** Arrays in arrays, and objects in objects. */
const nested = fc
  .tuple(fc.constantFrom(2, 63, 64, 65, 5_000), fc.constantFrom(['[', ']'] as const, ['{"a":', '}'] as const), request)
  .map(([depth, brackets, inner]) => {
    const [open, close] = brackets;
    return open.repeat(depth) + JSON.stringify(inner) + close.repeat(depth);
  });

const json = fc.oneof(
  { weight: 5, arbitrary: request },
  { weight: 3, arbitrary: own },
  { weight: 1, arbitrary: rightSend },
  { weight: 2, arbitrary: fc.array(fc.oneof(request, own, fc.array(request, { maxLength: 2 })), { maxLength: 5 }) },
  { weight: 1, arbitrary: fc.jsonValue() },
);

/** JSON, intact or damaged. */
const bitten = fc
  .tuple(json, fc.option(fc.tuple(fc.nat(), fc.nat(5), fc.string({ unit: 'binary', maxLength: 4 })), { freq: 3 }))
  .map(([value, bite]) => {
    const text = JSON.stringify(value);
    if (bite === null) return text;
    const at = bite[0] % (text.length + 1);
    return text.slice(0, at) + bite[2] + text.slice(at + bite[1]);
  });

const body = fc.oneof({ weight: 9, arbitrary: bitten }, { weight: 1, arbitrary: nested });

const headers = fc.dictionary(
  fc.constantFrom(
    'Content-Type',
    'Content-Encoding',
    'Expect',
    'Connection',
    'Transfer-Encoding',
    'Upgrade',
    'X-Odd',
    'Host',
  ),
  fc.oneof(
    fc.constantFrom('application/json', 'text/plain', 'gzip', 'close', 'chunked', '100-continue'),
    fc.string({ maxLength: 30 }),
  ),
  { maxKeys: 2 },
);
const target = fc.record({
  method: fc.constantFrom('POST', 'POST', 'POST', 'GET', 'HEAD', 'PUT', 'OPTIONS', 'DELETE'),
  path: fc.oneof(fc.constantFrom('/', '/queues', '/queues/1', '/readyz', '//', '/?x', '/queues?limit=0'), fc.webPath()),
});

/** URL-encoded text, or an invalid encoding. */
const inUrl = fc.oneof(
  fc
    .oneof(digits(25), entry, stamped, words.cursor, text)
    .map((said) => [...Buffer.from(said)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')),
  fc.constantFrom('', '0', '-1', '1e3', '01', '4294967295', '4294967296', '9'.repeat(400), '%', '%zz', '%ff', '%00'),
);
const query = fc
  .array(fc.tuple(fc.constantFrom('cursor', 'cursor', 'prefix', 'limit', 'x'), inUrl), { minLength: 1, maxLength: 4 })
  .map((pairs) => pairs.map((pair) => pair.join('=')).join('&'));
const lookPath = fc.oneof(
  query.map((said) => `/queues?${said}`),
  inUrl.map((said) => `/queues/${said}`),
);

interface Case {
  bytes: Buffer;
  /** The body, if the bytes are a single request. */
  text?: string;
  /** The payload of all SENDs in the bytes. */
  payload?: string;
}

let cases = 0;
const send = (payload: string): Buffer => httpRequest(JSON.stringify(sendRequest(7, 1, payload)));

const proper = body.map((text): Case => ({ bytes: httpRequest(text), text }));
const oddHead = fc
  .tuple(body, headers, target)
  .map(([text, more, to]): Case => ({ bytes: httpRequest(text, { ...to, headers: more }), text }));
const look = lookPath.map((path): Case => ({ bytes: httpRequest('', { method: 'GET', path }) }));
/** PEEKs of a queue with messages, with cursors that were never issued. */
const peeks = fc
  .array(
    fc
      .tuple(fc.constantFrom(1, 2, 3, 4), fc.oneof(fc.constant('0'), digits(18)), fc.oneof(entry, stamped, digits(20)))
      .map((parts) => parts.join('.')),
    { minLength: 5, maxLength: 10 },
  )
  .map((cursors): Case => {
    const peek = { msg_type: 19, saddr: 7, daddr: 5000, max: 2 };
    const requests = cursors.flatMap((cursor) =>
      ['waiting', 'leased', 'delayed', 'dead'].map((state) => ({ ...peek, state, cursor })),
    );
    return { bytes: httpRequest(JSON.stringify(requests)) };
  });
/** Pipelined requests followed by invalid bytes. */
const raw = fc
  .tuple(
    fc.nat(5),
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(150).map((cut) => send('cut').subarray(0, cut)),
      fc.nat(40_000).map((size) => httpRequest('{}', { headers: { 'X-Long': 'x'.repeat(size) } })),
      fc
        .constantFrom('zz\r\n', '5\r\n{}\r\n', '-1\r\n\r\n', `${chunk('{}')}5`, 'ffffffffffffffff\r\n', '0\r\n')
        .map((chunks) =>
          Buffer.concat([
            httpRequest('', { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
            Buffer.from(chunks),
          ]),
        ),
    ),
  )
  .map(([before, fault]): Case => {
    const payload = `raw ${cases++}`;
    return { bytes: Buffer.concat([...Array.from({ length: before }, () => send(payload)), fault]), payload };
  });
const anyCase = fc.oneof(
  { weight: 4, arbitrary: proper },
  { weight: 2, arbitrary: oddHead },
  { weight: 2, arbitrary: raw },
  { weight: 1, arbitrary: look },
  { weight: 1, arbitrary: peeks },
);

describe('http/fuzz', function () {
  this.timeout(60_000);
  const seed = Number(process.env.AIZUMI_TEST_SEED ?? Date.now() % 2 ** 31);
  const random = { state: seed };
  let server: TestServer;
  let broker: BrokerProcess;
  /** SENDs answered 200, as `${daddr} ${saddr} ${id} ${payload}`. */
  const sent = new Set<string>();
  const answered = new Map<string, number>();
  const counts: Record<string, number> = {};

  before(async () => {
    server = await startRedisServer();
    broker = await startBrokerProcess({
      AIZUMI_REDIS_URL: server.url,
      AIZUMI_MAX_DELIVERIES: '3',
      AIZUMI_VISIBILITY_TIMEOUT_MS: '50',
      AIZUMI_MAX_QUEUE_LENGTH: '1000',
      NODE_OPTIONS: '--import ./test/support/tell-memory.mjs',
    });
  });
  after(async () => {
    endAllProcesses();
    await server.stop();
  });

  async function run({ bytes, text, payload }: Case): Promise<void> {
    const connection = await openConnection(broker.url);
    connection.write(bytes);
    connection.end();
    const all = await connection.closed(10_000);
    const statuses = [...all.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    for (const status of statuses) {
      counts[status] = (counts[status] ?? 0) + 1;
      expect(status === 500 || (status > 501 && status !== 503), `${bytes.toString()}\n→ ${all}`).to.equal(false);
    }
    expect(all.includes('{"code":500,'), `${bytes.toString()}\n→ ${all}`).to.equal(false);
    if (payload !== undefined) answered.set(payload, statuses.filter((status) => status === 200).length);
    if (text !== undefined && all.includes('"MSG_SEND_ACK"')) note(text, all.slice(all.lastIndexOf('\r\n\r\n') + 4));
  }

  function note(text: string, reply: string): void {
    const [requests, replies] = [JSON.parse(text), JSON.parse(reply)].map((value) =>
      Array.isArray(value) ? value : [value],
    );
    replies!.forEach(({ code, msg_type }: any, i: number) => {
      const { daddr, saddr, id, payload } = requests![i];
      if (code === 200 && msg_type === 'MSG_SEND_ACK') sent.add(`${daddr} ${saddr} ${id} ${JSON.stringify(payload)}`);
    });
  }

  async function fuzz(): Promise<number> {
    const endMs = performance.now() + THIRD_MS;
    for (let round = 0; round < LEAST_ROUNDS || performance.now() < endMs; round++) {
      const sample = fc.sample(anyCase, { seed: random.state++, numRuns: 10 * AT_ONCE });
      for (let i = 0; i < sample.length; i += AT_ONCE) await Promise.all(sample.slice(i, i + AT_ONCE).map(run));
    }
    const told = broker.lines('memory').length;
    broker.signal('SIGUSR2');
    await until('it reports its memory', () => broker.lines('memory').length > told, 10_000);
    return broker.lines('memory')[told]!.heapUsed as number;
  }

  it(`random requests cause no 500, crash or memory leak (AIZUMI_TEST_SEED=${seed})`, async () => {
    const heap = [await fuzz(), await fuzz(), await fuzz()];
    console.log(
      `      seed ${seed}, replies ${JSON.stringify(counts)}, heap ${heap.map((bytes) => (bytes / 1e6).toFixed(1)).join(', ')} MB`,
    );
    expect(broker.exitCode).to.equal(undefined);
    expect(broker.log.filter(({ level }) => level >= 50)).to.deep.equal([]);
    expect((await broker.post(statRequest(1))).status).to.equal(200);
    expect(heap[2]! - heap[0]!, 'bytes of heap more than after the first third').to.be.below(GROWTH);
    // the run proves something only if it produced all of these replies
    for (const status of [200, 207, 400, 404, 405, 413, 415, 431])
      if (status !== 413) expect(counts, `${status}`).to.have.property(`${status}`);
    expect(sent.size).to.be.greaterThan(20);
  });

  it('random requests leave in Redis only messages that were answered 200, under known keys', async () => {
    const redis = new Redis(server.url);
    try {
      const known = Object.values(keys).map((name) =>
        name('aizumi', 0).replace(/[{}]/g, '\\$&').replace('{0\\}', '{\\d+\\}'),
      );
      const pattern = new RegExp(`^(${known.join('|')}|aizumi:followed|aizumi:format)(:.*)?$`);
      const names = await redis.keys('*');
      expect(names.filter((name) => !pattern.test(name))).to.deep.equal([]);
      for (const name of names.filter((key) => /:(queue|dead)$/.test(key))) {
        const daddr = /\{(\d+)\}/.exec(name)![1]!;
        const found = new Map<string, number>();
        for (const [, list] of await redis.xrange(name, '-', '+')) {
          const fields = Object.fromEntries(
            Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i], list[2 * i + 1]]),
          );
          const payload: unknown = JSON.parse(fields.payload);
          if (typeof payload === 'string' && payload.startsWith('raw '))
            found.set(payload, (found.get(payload) ?? 0) + 1);
          else expect(sent, name).to.include(`${daddr} ${fields.saddr} ${fields.id} ${JSON.stringify(payload)}`);
        }
        for (const [payload, count] of found) expect(count, payload).to.be.at.most(answered.get(payload) ?? 0);
      }
    } finally {
      redis.disconnect();
    }
  });
});
