// openapi.json is what the broker does: every example is sent, every reply held against the schemas.
import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import fc from 'fast-check';
import { REASONS } from '../../src/errors.js';
import { EXAMPLES } from '../../src/api-docs/examples.js';
import { MESSAGE_TYPES } from '../../src/messages/table.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';

const requestsOf = (broker: TestBroker, path: string): Promise<Response> => fetch(new URL(path, broker.url));

/** Those that one may wait long for, or that are no request's: of the reasons that some path has. */
const MASK: [RegExp, string][] = [
  [/"(uptime_ms|oldest_ms|bytes|sent_at_ms|lease_until_ms|due_at_ms)":\d+/g, '"$1":0'],
  [/"version":"[^"]*"/g, '"version":""'],
  [/"receipt":"\d{16}:\d{13}-\d{10}"/g, '"receipt":""'],
];
const masked = (value: unknown): unknown =>
  JSON.parse(MASK.reduce((text, [what, by]) => text.replace(what, by), JSON.stringify(value)));

describe('http: openapi.json', () => {
  let broker: TestBroker;
  let document: any;
  let ajv: Ajv2020;
  before(async () => {
    broker = await startBroker();
    document = await (await requestsOf(broker, 'openapi.json')).json();
    ajv = new Ajv2020({ strict: false, allErrors: true });
    ajv.addSchema(document, 'openapi.json');
  });
  after(() => broker.stop());

  const pointer = (...path: (string | number)[]): string =>
    `openapi.json#/${path.map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;
  const validatorOf = (...path: (string | number)[]): ValidateFunction => ajv.compile({ $ref: pointer(...path) });

  /** What the document says of this reply to this path and method holds. */
  function check(
    path: string,
    method: string,
    { status, headers, json }: Pick<Reply, 'status' | 'headers' | 'json'>,
  ): void {
    const response = document.paths[path][method].responses[status];
    expect(response, `${method} ${path} has no ${status}`).to.be.an('object');
    expect(headers.get('content-type')).to.equal('application/json; charset=utf-8');
    const validate = validatorOf('paths', path, method, 'responses', status, 'content', 'application/json', 'schema');
    expect(validate(json), `${JSON.stringify(json)}: ${ajv.errorsText(validate.errors)}`).to.equal(true);
    for (const name of ['retry-after', 'x-request-id', 'allow'])
      if (headers.has(name))
        expect(
          Object.keys(response.headers ?? {}).map((each) => each.toLowerCase()),
          name,
        ).to.include(name);
  }

  const isRequest = (value: unknown): boolean => {
    const content = ['paths', '/', 'post', 'requestBody', 'content', 'application/json', 'schema'] as const;
    return validatorOf(...content)(value);
  };

  it('is a valid OpenAPI 3.1 document', async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors ?? [], JSON.stringify(result.errors)).to.deep.equal([]);
    expect(result.valid).to.equal(true);
    expect(document.openapi).to.equal('3.1.0');
  });

  it('has every message type, with an example of its request and of its reply', () => {
    const { Request, Reply } = document.components.schemas;
    expect(Request.oneOf.map(({ $ref }: { $ref: string }) => $ref.split('/').at(-1))).to.deep.equal(
      MESSAGE_TYPES.map(({ request }) => request),
    );
    // by OpenAPI its values are names: a number would be none
    expect(Request.discriminator).to.equal(undefined);
    expect(Object.keys(Reply.discriminator.mapping)).to.include('MSG_RECV_ACK');
    for (const { request, number, reply } of MESSAGE_TYPES) {
      const schema = document.components.schemas[request];
      expect(schema.properties.msg_type.enum).to.deep.equal([request, number]);
      const shown = EXAMPLES.filter((example) => [request, number].includes(example.request.msg_type));
      expect(shown, request).not.to.be.empty;
      for (const { name, request: value, reply: answer } of shown) {
        const post = document.paths['/'].post;
        expect(post.requestBody.content['application/json'].examples[name].value).to.deep.equal(value);
        const { examples } = post.responses[answer.code].content['application/json'];
        expect(examples[name].value).to.deep.equal(answer);
        expect(answer.msg_type).to.equal(reply);
      }
    }
  });

  it('has an example with each field of each message type', () => {
    for (const { request, number } of MESSAGE_TYPES) {
      const shown = EXAMPLES.filter((example) => [request, number].includes(example.request.msg_type));
      const fields = new Set(shown.flatMap((example) => Object.keys(example.request)));
      const { properties } = document.components.schemas[request];
      const missing = Object.keys(properties).filter((name) => !fields.has(name));
      // where they mean nothing they are allowed, and receipts cannot be known in advance
      expect(
        missing.filter((name) => !['id', 'payload', 'receipt'].includes(name)),
        request,
      ).to.deep.equal([]);
    }
  });

  it('has every reason for an error, under its status', () => {
    const { reason } = document.components.schemas.Error.properties.error.properties;
    expect(reason.enum.sort()).to.deep.equal(Object.keys(REASONS).sort());
    const found: Record<string, number> = {};
    for (const path of Object.values<any>(document.paths))
      for (const { responses } of Object.values<any>(path))
        for (const [status, { content }] of Object.entries<any>(responses))
          for (const each of content['application/json'].schema.allOf?.[1].properties.error.properties.reason.enum ??
            [])
            found[each] = Number(status);
    // what has a path in the document is there
    const ofPaths = Object.entries(REASONS).filter(([reason]) => reason !== 'not_found');
    expect(found).to.deep.equal(Object.fromEntries(ofPaths.map(([reason, { status }]) => [reason, status])));
  });

  it('has the fields that docs/protocol.md has, and needs the same', () => {
    const text = readFileSync('docs/protocol.md', 'utf8');
    for (const { request, schema } of MESSAGE_TYPES) {
      if (!schema) continue;
      const [, section = ''] = text.split(`\n## ${request}\n`);
      const [, table = ''] = /\n\| field \| needed \|.*\n.*\n((\|.*\n)+)/.exec(section.split('\n## ')[0]!) ?? [];
      expect(table, `## ${request} with a table | field | needed |`).not.to.equal('');
      const rows = table
        .trim()
        .split('\n')
        .map((row) => row.split('|').map((cell) => cell.trim()));
      const needed = rows.filter(([, , word]) => word === 'yes').map(([, name]) => name!.replaceAll('`', ''));
      const told = rows.map(([, name]) => name!.replaceAll('`', ''));
      const { properties, required } = document.components.schemas[request];
      // id and payload are allowed everywhere
      const own = Object.keys(properties).filter(
        (name) => !['msg_type', 'id', 'payload'].includes(name) || told.includes(name),
      );
      expect(told.sort(), request).to.deep.equal(own.sort());
      expect(['msg_type', ...needed].sort(), request).to.deep.equal([...required].sort());
    }
  });

  describe('tells the truth', () => {
    let story: TestBroker;
    before(async () => (story = await startBroker()));
    after(() => story.stop());

    for (const { name, request, reply } of EXAMPLES)
      it(`about the example ${name}`, async () => {
        const answered = await story.post(request);
        check('/', 'post', answered);
        expect(masked(answered.json)).to.deep.equal(masked(reply));
        expect(answered.status).to.equal(reply.code);
        expect(isRequest(request), 'of its request').to.equal(reply.code !== 400);
      });

    it('about a batch', async () => {
      const { examples } = document.paths['/'].post.requestBody.content['application/json'];
      const answered = await story.post(examples.batch.value);
      expect(answered.status).to.equal(207);
      check('/', 'post', answered);
      const all = await story.post([examples.send.value, examples.recv.value]);
      expect(all.status).to.equal(200);
      check('/', 'post', all);
      expect(isRequest([])).to.equal(false);
      expect(isRequest([examples.send.value])).to.equal(true);
    });

    it('about what it refuses', async () => {
      for (const [body, headers] of [
        ['{', {}],
        ['[]', {}],
        ['{"msg_type":"MSG_HELLO_REQ"}', {}],
        ['x', { 'content-type': 'text/plain' }],
        [JSON.stringify('x'.repeat(1_100_000)), {}],
      ] as const) {
        const answered = await story.post(body, headers);
        expect(answered.status).to.be.above(399);
        check('/', 'post', answered);
      }
    });

    it('about the other paths', async () => {
      await story.post({ msg_type: 'MSG_HELO_REQ', saddr: 7, daddr: 5000 });
      for (const [path, method, of] of [
        ['queues', 'GET', '/queues'],
        ['queues?limit=0', 'GET', '/queues'],
        ['queues/7', 'GET', '/queues/{address}'],
        ['queues/8', 'GET', '/queues/{address}'],
        ['queues/x', 'GET', '/queues/{address}'],
        ['livez', 'GET', '/livez'],
        ['readyz', 'GET', '/readyz'],
        ['readyz', 'POST', '/readyz'],
      ] as const) {
        const response = await fetch(`${story.url}${path}`, { method });
        check(of, 'get', { status: response.status, headers: response.headers, json: (await response.json()) as any });
      }
    });

    it('about what no example shows: other states, one delivery in detail', async () => {
      const own = { saddr: 9, daddr: 5000 };
      const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const ask = async (type: string, fields: object = {}): Promise<any> => {
        const answered = await story.post({ msg_type: `MSG_${type}_REQ`, ...own, ...fields });
        expect(answered.status).to.equal(200);
        check('/', 'post', answered);
        return answered.json;
      };
      await ask('HELO', { settings: { max_deliveries: 1 } });
      for (const id of [1, 2]) await ask('SEND', { daddr: 9, id, payload: 'x', traceparent });
      const { delivery } = await ask('RECV', { details: true });
      expect(delivery.traceparent).to.equal(traceparent);
      for (const state of ['leased', 'waiting']) expect((await ask('PEEK', { state })).messages).to.have.length(1);
      await ask('KEEP', { id: 1, visibility_timeout_ms: 0, receipt: delivery.receipt });
      await ask('RECV', { max: 5 });
      expect((await ask('PEEK', { state: 'dead' })).messages).to.have.length(1);
    });

    /** Whether the document has it that the parameter may be so, as a URL has it. */
    const isParameter = (path: string, name: string, value: string): boolean => {
      const { parameters } = document.paths[path].get;
      const i = parameters.findIndex((each: { name: string }) => each.name === name);
      return validatorOf('paths', path, 'get', 'parameters', i, 'schema')(value);
    };

    for (const [path, name, values] of [
      [
        '/queues',
        'cursor',
        ['', '0', '7', '007', '-1', '1.5', 'x', '4294967295', '4294967296', '9999999999', '10000000000'],
      ],
      ['/queues', 'prefix', ['', '0', '7', '007', '-1', '1.5', 'x', '4294967295', '9999999999', '10000000000', '٣']],
      ['/readyz', 'exclude', ['redis', '', 'Redis', 'AAA', 'redis,redis']],
    ] as const)
      it(`about the values of ${name} at ${path}`, async () => {
        for (const value of values) {
          const response = await fetch(`${story.url}${path.slice(1)}?${name}=${encodeURIComponent(value)}`);
          expect(response.status, value).to.equal(isParameter(path, name, value) ? 200 : 400);
          check(path, 'get', {
            status: response.status,
            headers: response.headers,
            json: (await response.json()) as any,
          });
        }
      });

    it('about the cursors of each state', async () => {
      const peek = { msg_type: 'MSG_PEEK_REQ', saddr: 9, daddr: 5000 };
      const valid = ['1.0.0', '1.5.1795624577690-0000000000', '3.0.1795624577690-0', '1.0.1795624577690-0', null];
      const others = ['', 'x', '1.0', '3.0.99999999999999999999999-5', '5.0.0', '1.0.1-1-1', '1.0.0\n', '2.0.0'];
      for (const state of ['waiting', 'leased', 'delayed', 'dead'])
        for (const cursor of [...valid, ...others]) {
          const request = { ...peek, state, cursor };
          const { status } = await story.post(request);
          expect(status, JSON.stringify(request)).to.equal(isRequest(request) ? 200 : 400);
        }
    });

    it('about the most that HELO may set', async () => {
      const { maxQueueLength, maxQueueBytes } = story.config;
      for (const [name, most] of [
        ['max_queue_length', maxQueueLength],
        ['max_queue_bytes', maxQueueBytes],
      ] as const)
        for (const value of [most, most + 1, null]) {
          const request = { msg_type: 'MSG_HELO_REQ', saddr: 9, daddr: 5000, settings: { [name]: value } };
          const { status } = await story.post(request);
          expect(status, JSON.stringify(request)).to.equal(isRequest(request) ? 200 : 400);
        }
    });

    it('about the rules of a whole FREE', () => {
      const free = { msg_type: 'MSG_FREE_REQ', saddr: 1, daddr: 1 };
      expect(isRequest({ ...free, id: 1, receipt: 'x' })).to.equal(true);
      expect(isRequest({ ...free, ids: [1] })).to.equal(true);
      expect(isRequest({ ...free, ids: [1], receipt: 'x' })).to.equal(false);
      expect(isRequest(free)).to.equal(false);
    });

    it('about which requests are valid', () => {
      const value = fc.oneof(
        fc.constant(ABSENT),
        fc.integer({ min: -1, max: 3 }),
        fc.constantFrom(...VALUES),
        fc.boolean(),
      );
      const names = fc.constantFrom(
        ...new Set(EXAMPLES.flatMap(({ request }) => Object.keys(request))),
        'receipt',
        'other',
      );
      const request = fc
        .tuple(
          fc.constantFrom(...MESSAGE_TYPES.filter(({ schema }) => schema)),
          fc.dictionary(names, value, { maxKeys: 4 }),
        )
        .map(([type, fields]) => ({
          type,
          fields: { saddr: 1, daddr: 1, id: 1, ids: [1], payload: 1, ...fields, msg_type: type.request },
        }))
        .map(({ type, fields }) => {
          const allowed = document.components.schemas[type.request].properties;
          const kept = Object.entries(fields).filter(
            ([name, of]) => (of as unknown) !== ABSENT && (name in allowed || name === 'other'),
          );
          return { type, fields: Object.fromEntries(kept) };
        });
      fc.assert(
        fc.property(request, ({ type, fields }) => {
          expect(isRequest(fields), JSON.stringify(fields)).to.equal(!type.schema!.validate(fields).error);
        }),
        { numRuns: 2_000 },
      );
    });
  });
});

const ABSENT = Symbol('absent');
const VALUES = [
  null,
  '',
  'x',
  'dead',
  'waiting',
  'leased',
  'quorum',
  'x'.repeat(65),
  1.5,
  2 ** 53,
  604_800_001,
  2 ** 32,
  [],
  {},
  '1.0.0',
  [1, 'x'],
];
