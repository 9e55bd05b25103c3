import { STATUS_CODES } from 'node:http';
import { expect } from 'chai';
import type { Reason } from '../../src/errors.js';
import { REASONS } from '../../src/errors.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import type { Connection, RawReply } from '../../harness/connection.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import type { Store } from '../support/store.js';
import { until } from '../../harness/until.js';

const TYPES = [
  'MSG_SEND_REQ (1)',
  'MSG_RECV_REQ (3)',
  'MSG_FREE_REQ (5)',
  'MSG_HELO_REQ (9)',
  'MSG_STAT_REQ (11)',
  'MSG_GBYE_REQ (13)',
  'MSG_KEEP_REQ (15)',
  'MSG_BACK_REQ (17)',
  'MSG_PEEK_REQ (19)',
  'MSG_MOVE_REQ (21)',
  'MSG_DROP_REQ (23)',
].join(', ');

const UNKNOWN_TYPE = 'msg_type is not a request that this broker knows';

/** The message for a field with a wrong value, whatever is wrong with it. */
const notAnInteger = (field: string, max: number): string =>
  `${field} must be an integer from 0 to ${max}, a JSON number`;
const NOT_AN_ADDRESS = (field: string): string => `{"field":"${field}","message":"${notAnInteger(field, 4294967295)}"}`;

interface Expected {
  reason: Reason;
  message: string;
  msgType?: string;
  outcome?: string;
  details?: string;
}

/** The text of an error reply, which has the same keys in the same order for every error. */
function errorText({ reason, message, msgType, outcome, details = '[]' }: Expected): string {
  const code = REASONS[reason].status;
  return (
    `{"code":${code},"status":"${STATUS_CODES[code]}",` +
    (msgType === undefined ? '' : `"msg_type":"${msgType}",`) +
    `"error":{"reason":"${reason}","message":${JSON.stringify(message)},` +
    (outcome === undefined ? '' : `"outcome":"${outcome}",`) +
    `"details":${details}}}`
  );
}

interface Fields {
  error: { reason: string; message: string; outcome?: string; details: { field: string; message: string }[] };
  msg_type?: string;
}
const parsed = ({ text }: { text: string }): Fields => JSON.parse(text) as Fields;

describe('http/errors', () => {
  let broker: TestBroker;
  let store: Store;
  let connection: Connection;
  before(async () => {
    broker = await startBroker();
    store = openStore(broker.config);
    await broker.post(sendRequest(100, 1, 'was here before'));
    connection = await openConnection(broker.url);
  });
  after(async () => {
    connection.destroy();
    store.close();
    await broker.stop();
  });

  /** Sends a request that must change nothing in Redis and leave the connection usable. */
  async function exchange(request: Uint8Array, to = 'POST'): Promise<RawReply> {
    const before = await store.contents();
    connection.write(request);
    const reply = await connection.reply(5_000, to);
    expect(reply.headers).to.include({ 'content-type': 'application/json; charset=utf-8', connection: 'keep-alive' });
    connection.write(httpRequest(JSON.stringify(statRequest(100))));
    const next = await connection.reply();
    expect(next.text).to.match(/^\{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK"/);
    expect(await store.contents()).to.deep.equal(before);
    return reply;
  }

  const refusedBody = (body: string | object): Promise<RawReply> =>
    exchange(httpRequest(typeof body === 'string' ? body : JSON.stringify(body)));

  function expectError({ status, text }: RawReply, expected: Expected): void {
    expect(text).to.equal(errorText(expected));
    expect(status).to.equal(REASONS[expected.reason].status);
  }

  it('each reason has the status that the specification and docs/design.md give it', () => {
    const statuses = Object.entries(REASONS).map(([reason, { status }]) => [reason, status]);
    expect(Object.fromEntries(statuses)).to.deep.equal({
      invalid_json: 400,
      invalid_request: 400,
      unknown_msg_type: 400,
      unauthenticated: 401,
      forbidden: 403,
      queue_empty: 404,
      not_delivered: 404,
      not_found: 404,
      method_not_allowed: 405,
      request_timeout: 408,
      id_conflict: 409,
      lease_lost: 409,
      too_large: 413,
      unsupported_media_type: 415,
      queue_full: 429,
      rate_limited: 429,
      headers_too_large: 431,
      internal: 500,
      not_supported: 501,
      unavailable: 503,
      not_durable: 503,
      durability_unavailable: 503,
      overloaded: 503,
      draining: 503,
    });
  });

  describe('a body that is not a request', () => {
    const notJson: Record<string, string> = {
      'no body': '',
      whitespace: ' \r\n',
      text: 'hello',
      'a form': 'msg_type=MSG_SEND_REQ&saddr=1',
      'an object with a trailing comma': '{"msg_type":3,}',
      'an object in single quotes': "{'msg_type':3}",
      'two objects': '{"msg_type":11,"saddr":1,"daddr":1}{"msg_type":11,"saddr":1,"daddr":1}',
      'a request and a bracket too many': '{"msg_type":11,"saddr":1,"daddr":1}}',
      NaN: '{"msg_type":3,"saddr":NaN,"daddr":1}',
      'a number with a leading zero': '{"msg_type":3,"saddr":01,"daddr":1}',
      'a string that is not closed': '{"msg_type":"MSG_RECV_REQ',
      'a bad escape in a key': '{"\\x":1}',
      'a payload that is no JSON': '{"msg_type":1,"saddr":1,"daddr":100,"id":1,"payload":hello}',
      'a payload without a value': '{"msg_type":1,"saddr":1,"daddr":100,"id":1,"payload":}',
    };
    for (const [what, body] of Object.entries(notJson))
      it(`is invalid_json: ${what}`, async () => {
        const reply = await refusedBody(body);
        expect(reply.status).to.equal(400);
        const { error, msg_type } = parsed(reply);
        expect(error).to.include({ reason: 'invalid_json' });
        expect(error.message).to.match(/^the body is not valid JSON: \S/);
        expect(error.details).to.deep.equal([]);
        expect(msg_type).to.equal(undefined);
      });

    it('is refused with the reason why it is not JSON', async () =>
      expectError(await refusedBody('{"msg_type":'), {
        reason: 'invalid_json',
        message: 'the body is not valid JSON: Unexpected end of JSON input',
      }));

    for (const body of [
      '\ufeff{}',
      '\ufeff',
      `\ufeff${JSON.stringify(sendRequest(100, 1))}`,
      '\ufeff\ufeff{',
      '\ufeffx',
    ])
      it(`is refused with a message about its byte order mark: ${JSON.stringify(body)}`, async () =>
        expectError(await refusedBody(body), {
          reason: 'invalid_json',
          message: 'the body starts with a byte order mark: send UTF-8 without it',
        }));

    for (const body of ['null', 'true', '7', '"MSG_STAT_REQ"'])
      it(`is invalid_request when it is JSON but no object: ${body}`, async () =>
        expectError(await refusedBody(body), {
          reason: 'invalid_request',
          message: 'a request must be one JSON object',
        }));
  });

  describe('msg_type', () => {
    const missing = (...fields: string[]): string =>
      JSON.stringify(fields.map((field) => ({ field, message: `${field} is required` })));
    for (const [body, details] of [
      ['{"saddr":1,"daddr":1}', missing('msg_type')],
      ['{"saddr":1,"daddr":1,"id":"x","payload":{},"ttl":5}', missing('msg_type')],
      ['{"daddr":1}', missing('msg_type', 'saddr')],
      ['{"saddr":1}', missing('msg_type', 'daddr')],
      ['{}', missing('msg_type', 'saddr', 'daddr')],
      ['{"MSG_TYPE":3}', missing('msg_type', 'saddr', 'daddr')],
    ] as const)
      it(`is required: ${body}`, async () =>
        expectError(await refusedBody(body), {
          reason: 'invalid_request',
          message: `msg_type is required: use ${TYPES}`,
          details,
        }));

    const acks = ['SEND', 'RECV', 'FREE', 'HELO', 'STAT', 'GBYE', 'KEEP', 'BACK'].map((type) => `MSG_${type}_ACK`);
    const notTypes = [
      ...acks,
      'MSG_STAT_RES',
      2,
      4,
      6,
      10,
      12,
      14,
      16,
      18,
      0,
      -1,
      1.5,
      '1',
      '',
      'msg_send_req',
      ' MSG_SEND_REQ',
    ];
    const notEvenNames = [null, true, [], ['MSG_SEND_REQ'], {}, 'toString', '__proto__', 'constructor'];
    for (const type of [...notTypes, ...notEvenNames])
      it(`is refused as unknown: ${JSON.stringify(type)}`, async () =>
        expectError(await refusedBody({ msg_type: type, saddr: 1, daddr: 100, id: 1, payload: 1 }), {
          reason: 'unknown_msg_type',
          message: `${UNKNOWN_TYPE}: use ${TYPES}`,
          details: `[{"field":"msg_type","message":"${UNKNOWN_TYPE}"}]`,
        }));

    for (const [what, reason, fault, body] of [
      ['missing', 'invalid_request', 'msg_type is required', '{"saddr":"1","daddr":-1,"ttl":5}'],
      ['unknown', 'unknown_msg_type', UNKNOWN_TYPE, '{"msg_type":2,"saddr":"1","daddr":-1,"ttl":5}'],
    ] as const)
      it(`that is ${what} is reported together with the faults of saddr and daddr`, async () =>
        expectError(await refusedBody(body), {
          reason,
          message: `${fault}: use ${TYPES}`,
          details: `[{"field":"msg_type","message":"${fault}"},${NOT_AN_ADDRESS('saddr')},${NOT_AN_ADDRESS('daddr')}]`,
        }));

    it('that is unknown is reported together with the missing fields', async () =>
      expectError(await refusedBody('{"msg_type":"MSG_SEND"}'), {
        reason: 'unknown_msg_type',
        message: `${UNKNOWN_TYPE}: use ${TYPES}`,
        details: `[{"field":"msg_type","message":"${UNKNOWN_TYPE}"},${missing('saddr', 'daddr').slice(1)}`,
      }));
  });

  describe('a field', () => {
    const requests: Record<string, object> = {
      MSG_SEND: { msg_type: 'MSG_SEND_REQ', saddr: 1, daddr: 100, id: 1, payload: 1 },
      MSG_RECV: { msg_type: 'MSG_RECV_REQ', saddr: 7, daddr: 5000 },
      MSG_FREE: { msg_type: 'MSG_FREE_REQ', saddr: 7, daddr: 5000, id: 1 },
      MSG_HELO: { msg_type: 'MSG_HELO_REQ', saddr: 7, daddr: 5000 },
      MSG_STAT: { msg_type: 'MSG_STAT_REQ', saddr: 7, daddr: 5000 },
      MSG_GBYE: { msg_type: 'MSG_GBYE_REQ', saddr: 7, daddr: 5000 },
      MSG_KEEP: { msg_type: 'MSG_KEEP_REQ', saddr: 7, daddr: 5000, id: 1, visibility_timeout_ms: 1 },
      MSG_BACK: { msg_type: 'MSG_BACK_REQ', saddr: 7, daddr: 5000, id: 1 },
    };
    const notIntegers = [
      '-1',
      '1.5',
      '1e-7',
      '1e20',
      '1e400',
      '-1e400',
      '"1"',
      '"x"',
      '""',
      'null',
      'true',
      'false',
      '[1]',
      '{}',
    ];
    const wrongValues: Record<string, { max: number; values: string[] }> = {
      saddr: { max: 4294967295, values: ['4294967296', '9007199254740993', ...notIntegers] },
      daddr: { max: 4294967295, values: ['4294967296', '9007199254740993', ...notIntegers] },
      id: { max: 9007199254740991, values: ['9007199254740992', '9007199254740993', ...notIntegers] },
    };

    /** The request's JSON text, with the text of one field replaced: 1e400 does not survive JSON.stringify. */
    const withField = (request: object, field: string, text: string): string =>
      JSON.stringify({ ...request, [field]: '\0' }).replace('"\\u0000"', text);

    for (const [type, request] of Object.entries(requests))
      for (const [field, { max, values }] of Object.entries(wrongValues))
        if (field !== 'id' || field in request)
          it(`with a wrong value is refused with what is allowed: ${field} of ${type}_REQ`, async () => {
            const fault = notAnInteger(field, max);
            for (const value of values)
              expectError(await refusedBody(withField(request, field, value)), {
                reason: 'invalid_request',
                msgType: `${type}_ACK`,
                message: `${type}_REQ is not valid: ${fault}`,
                details: JSON.stringify([{ field, message: fault }]),
              });
          });

    for (const [field, { max }] of Object.entries(wrongValues))
      for (const value of ['-0.5', '-1.5', '4294967295.5'])
        if (Number(value) < 0 || Number(value) > max)
          it(`that breaks two rules is reported once: ${field} ${value}`, async () => {
            const fault = notAnInteger(field, max);
            expectError(await refusedBody(withField(requests.MSG_FREE!, field, value)), {
              reason: 'invalid_request',
              msgType: 'MSG_FREE_ACK',
              message: `MSG_FREE_REQ is not valid: ${fault}`,
              details: JSON.stringify([{ field, message: fault }]),
            });
          });

    it('that is missing is reported, together with all other missing fields', async () =>
      expectError(await refusedBody('{"msg_type":"MSG_SEND_REQ"}'), {
        reason: 'invalid_request',
        msgType: 'MSG_SEND_ACK',
        message: 'MSG_SEND_REQ is not valid: saddr is required; daddr is required; id is required; payload is required',
        details:
          '[{"field":"saddr","message":"saddr is required"},{"field":"daddr","message":"daddr is required"},' +
          '{"field":"id","message":"id is required"},{"field":"payload","message":"payload is required"}]',
      }));

    const required: Record<string, string[]> = {
      MSG_RECV: ['saddr', 'daddr'],
      MSG_HELO: ['saddr', 'daddr'],
      MSG_STAT: ['saddr', 'daddr'],
      MSG_GBYE: ['saddr', 'daddr'],
      MSG_KEEP: ['saddr', 'daddr', 'id', 'visibility_timeout_ms'],
      MSG_BACK: ['saddr', 'daddr', 'id'],
    };
    for (const [type, fields] of Object.entries(required))
      it(`is required: ${fields.join(', ')} of ${type}_REQ`, async () => {
        const { error, msg_type } = parsed(await refusedBody({ msg_type: `${type}_REQ` }));
        expect(msg_type).to.equal(`${type}_ACK`);
        expect(error.details).to.deep.equal(fields.map((field) => ({ field, message: `${field} is required` })));
      });

    it('is required: saddr, daddr, and id or ids of MSG_FREE_REQ', async () => {
      const { error } = parsed(await refusedBody({ msg_type: 'MSG_FREE_REQ' }));
      expect(error.details).to.deep.equal([
        { field: 'saddr', message: 'saddr is required' },
        { field: 'daddr', message: 'daddr is required' },
        { field: 'id', message: 'id is required, or ids' },
      ]);
    });

    for (const [type, request] of Object.entries(requests))
      it(`that ${type}_REQ does not have is refused, and named`, async () => {
        for (const name of [
          'paylod',
          'SADDR',
          'prefix',
          'constructor',
          'toString',
          'hasOwnProperty',
          '__proto__',
          'a.b',
          '0',
        ]) {
          const body = `${JSON.stringify(request).slice(0, -1)},${JSON.stringify(name)}:1}`;
          expectError(await refusedBody(body), {
            reason: 'invalid_request',
            msgType: `${type}_ACK`,
            message: `${type}_REQ is not valid: ${name} is not a field of this request`,
            details: `[{"field":"${name}","message":"${name} is not a field of this request"}]`,
          });
        }
      });

    it('with a fault is reported together with every other fault of the request', async () => {
      const body = '{"msg_type":"MSG_SEND_REQ","saddr":"1","daddr":-1,"payload":1,"ttl":5,"__proto__":{},"toString":0}';
      const faults = [
        ['saddr', notAnInteger('saddr', 4294967295)],
        ['daddr', notAnInteger('daddr', 4294967295)],
        ['id', 'id is required'],
        ['ttl', 'ttl is not a field of this request'],
        ['toString', 'toString is not a field of this request'],
        ['__proto__', '__proto__ is not a field of this request'],
      ] as const;
      expectError(await refusedBody(body), {
        reason: 'invalid_request',
        msgType: 'MSG_SEND_ACK',
        message: `MSG_SEND_REQ is not valid: ${faults.map(([, message]) => message).join('; ')}`,
        details: JSON.stringify(faults.map(([field, message]) => ({ field, message }))),
      });
    });

    it('with an empty name is refused, and named', async () => {
      const { error } = parsed(await refusedBody('{"msg_type":3,"saddr":7,"daddr":1,"":1}'));
      expect(error.details.map(({ field }) => field)).to.deep.equal(['']);
      expect(error.message).not.to.include('value'); // Joi's label for a field without a name
    });
  });

  describe('a path or method', () => {
    const nowhere = ['/send', '/index.html', '//', '/%00', '/%zz', '/livez/x', '/__proto__'];
    const almostProbes = ['/livez/', '/LIVEZ', '/Livez', '//livez', '/%6Civez', '/readyz/', '/READYZ'];
    for (const path of [...nowhere, ...almostProbes, 'http://host/send', 'http://host//', 'http://host/livez/'])
      it(`that does not exist is not_found: ${path}`, async () => {
        for (const method of ['GET', 'POST'])
          expectError(await exchange(httpRequest('{}', { path, method })), {
            reason: 'not_found',
            message:
              'no such path: requests are POSTed to /, queues are at GET /queues, probes at GET /livez and /readyz',
          });
      });

    for (const path of ['http://[bad/', 'http://xn--/'])
      it(`in absolute form with an invalid host is refused as the client's error: ${path}`, async () => {
        for (const method of ['GET', 'POST']) {
          const { status } = await exchange(httpRequest('{}', { path, method }));
          expect(status).to.be.within(400, 499);
        }
      });

    it('in absolute form is served, whatever its scheme and host', async () => {
      for (const host of ['http://host', 'HTTP://host:8080', 'https://host', 'http://[::1]']) {
        const refused = await exchange(httpRequest('{}', { path: `${host}/`, method: 'PUT' }));
        expectError(refused, { reason: 'method_not_allowed', message: 'use POST' });
        expect(refused.headers.allow).to.equal('POST');
        const live = await exchange(httpRequest('', { path: `${host}/livez`, method: 'GET' }));
        expect([live.status, live.text]).to.deep.equal([200, '{"code":200,"status":"OK"}']);
      }
    });

    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])
      it(`${method} on / is refused with Allow: POST`, async () => {
        const reply = await exchange(httpRequest(JSON.stringify(sendRequest(100, 1)), { method }));
        expectError(reply, { reason: 'method_not_allowed', message: 'use POST' });
        expect(reply.headers.allow).to.equal('POST');
      });

    it('HEAD on / is refused without a body', async () => {
      const reply = await exchange(httpRequest('', { method: 'HEAD' }), 'HEAD');
      expect(reply.status).to.equal(405);
      expect(reply.headers.allow).to.equal('POST');
    });

    for (const path of ['/livez', '/readyz'])
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
        it(`${method} on ${path} is refused with Allow: GET and HEAD`, async () => {
          const reply = await exchange(httpRequest(JSON.stringify(sendRequest(100, 1)), { path, method }));
          expectError(reply, { reason: 'method_not_allowed', message: 'use HEAD or GET' });
          expect(reply.headers.allow).to.equal('HEAD, GET');
        });

    for (const path of ['/livez', '/readyz'])
      it(`GET and HEAD on ${path} are answered 200`, async () => {
        const get = await exchange(httpRequest('', { path, method: 'GET' }));
        expect([get.status, get.text]).to.deep.equal([200, '{"code":200,"status":"OK"}']);
        const head = await exchange(httpRequest('', { path, method: 'HEAD' }), 'HEAD');
        expect([head.status, head.text]).to.deep.equal([200, '']);
      });
  });

  describe('Content-Type', () => {
    const body = JSON.stringify(recvRequest(7));
    const send = (type: string | undefined): Promise<RawReply> =>
      exchange(httpRequest(body, { headers: { 'Content-Type': type } }));

    for (const type of [
      'application/json',
      'application/json; charset=utf-8',
      'application/json;charset=UTF-8',
      'application/json; charset="utf-8"',
      'Application/JSON',
      'application/json;',
    ])
      it(`may be ${type}`, async () => {
        expect(parsed(await send(type)).error.reason).to.equal('queue_empty');
      });

    for (const type of [
      'text/plain',
      'text/json',
      'application/jsonx',
      'application/x-json',
      'application/json; charset=latin1',
      'application/json; charset=utf-16',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'json',
    ])
      it(`may not be ${type}`, async () =>
        expectError(await send(type), {
          reason: 'unsupported_media_type',
          message: `send Content-Type: application/json (with curl: --json), not ${JSON.stringify(type)}`,
        }));

    it('may not be missing', async () =>
      expectError(await send(undefined), {
        reason: 'unsupported_media_type',
        message: 'send Content-Type: application/json (with curl: --json), the request has none',
      }));
  });

  describe('Content-Encoding', () => {
    for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip'])
      it(`may not be ${encoding}`, async () =>
        expectError(
          await exchange(httpRequest(JSON.stringify(recvRequest(7)), { headers: { 'Content-Encoding': encoding } })),
          { reason: 'unsupported_media_type', message: 'send the body without Content-Encoding' },
        ));

    it('may be identity', async () => {
      const request = httpRequest(JSON.stringify(recvRequest(7)), { headers: { 'Content-Encoding': 'identity' } });
      expect(parsed(await exchange(request)).error.reason).to.equal('queue_empty');
    });
  });

  describe('a valid request that cannot be carried out', () => {
    it('RECV of a queue without messages is queue_empty', async () =>
      expectError(await refusedBody(recvRequest(7)), {
        reason: 'queue_empty',
        msgType: 'MSG_RECV_ACK',
        message: 'no message waits for you: ask again later',
      }));

    it('FREE of a message that is not held is not_delivered', async () =>
      expectError(await refusedBody(freeRequest(7, 1)), {
        reason: 'not_delivered',
        msgType: 'MSG_FREE_ACK',
        message:
          'you hold no message with this id: it was freed before, never received, or went to somebody else after its lease ended',
      }));

    for (const [type, request] of Object.entries({
      FREE: freeRequest(7, 1),
      KEEP: { msg_type: 'MSG_KEEP_REQ', saddr: 7, daddr: 5000, id: 1, visibility_timeout_ms: 1 },
      BACK: { msg_type: 'MSG_BACK_REQ', saddr: 7, daddr: 5000, id: 1 },
    }))
      it(`${type} with the receipt of an ended lease is lease_lost`, async () =>
        expectError(await refusedBody({ ...request, receipt: '1795386797039340:1795386796899-0000000000' }), {
          reason: 'lease_lost',
          msgType: `MSG_${type}_ACK`,
          message:
            'this delivery is over: the message was freed or given back, or went to somebody else after its lease ended',
        }));

    for (const type of ['"MSG_PUSH_REQ"', '"MSG_PUSH_ACK"', '7', '8'])
      for (const fields of [
        '',
        ',"saddr":1,"daddr":100,"id":1,"payload":"hello"',
        ',"saddr":-1,"daddr":"x","id":{},"payload":null',
        ',"ttl":5,"a.b":1,"":1,"toString":0,"constructor":{}',
        ',"__proto__":{"polluted":1}',
      ])
        it(`PUSH is not_supported, whatever its fields: ${type}${fields}`, async () =>
          expectError(await refusedBody(`{"msg_type":${type}${fields}}`), {
            reason: 'not_supported',
            msgType: 'MSG_PUSH_ACK',
            message: 'the broker does not push: ask for messages with MSG_RECV_REQ',
          }));

    it('SEND to a full queue is queue_full with Retry-After, until there is room', async () => {
      const small = await startBroker({ AIZUMI_MAX_QUEUE_LENGTH: '2' });
      try {
        for (const id of [1, 2]) expect((await small.post(sendRequest(100, id))).status).to.equal(200);
        const { text, status, headers } = await small.post(sendRequest(100, 3));
        expect(text).to.equal(
          errorText({
            reason: 'queue_full',
            msgType: 'MSG_SEND_ACK',
            message: 'the receiver has too many messages waiting: try again when it has freed some',
          }),
        );
        expect(status).to.equal(429);
        expect(headers.get('retry-after')).to.equal('1');

        await small.post(recvRequest(100));
        expect((await small.post(sendRequest(100, 3))).status, 'received is not freed').to.equal(429);
        await small.post(freeRequest(100, 1));
        expect((await small.post(sendRequest(100, 3))).status).to.equal(200);
      } finally {
        await small.stop();
      }
    });
  });

  describe('SEND with options', () => {
    const first = { ...sendRequest(100, 77, 'once'), dedup: true };
    before(() => broker.post(first));

    it('is id_conflict if the id was sent before with another payload', async () =>
      expectError(await refusedBody({ ...first, payload: 'twice' }), {
        reason: 'id_conflict',
        msgType: 'MSG_SEND_ACK',
        message: 'you sent this id to this receiver before, with another payload: take a new id',
      }));
  });

  describe('an option', () => {
    const integer = (from: number, to: number): { bad: unknown[]; fault: string } => ({
      bad: [from - 1, to + 1, 0.5, String(to), null, true],
      fault: `must be an integer from ${from} to ${to}, a JSON number`,
    });
    const boolean = { bad: ['true', 1, null], fault: 'must be a boolean' };
    const string = { bad: ['', 'x'.repeat(65), 7, null], fault: 'must be a string of 1 to 64 characters' };
    const held = { saddr: 7, daddr: 5000, id: 1 };
    const requests: Record<string, { request: object; options: Record<string, { bad: unknown[]; fault: string }> }> = {
      MSG_SEND: {
        request: sendRequest(100, 78),
        options: {
          durability: { bad: ['most', 'QUORUM', null], fault: 'must be one of [primary, quorum, all]' },
          dedup: boolean,
          delay_ms: integer(0, 604_800_000),
          ttl_ms: integer(1, 31_536_000_000),
        },
      },
      MSG_RECV: {
        request: recvRequest(7),
        options: {
          max: integer(1, 1_000),
          visibility_timeout_ms: integer(0, 43_200_000),
          details: boolean,
          attempt_id: string,
        },
      },
      MSG_FREE: {
        request: freeRequest(7, 1),
        options: {
          ids: { bad: [[], 7, '7', null, new Array(1_001).fill(1)], fault: 'must be a list of 1 to 1000 ids' },
          receipt: string,
        },
      },
      MSG_KEEP: {
        request: { msg_type: 'MSG_KEEP_REQ', ...held, visibility_timeout_ms: 1 },
        options: { visibility_timeout_ms: integer(0, 43_200_000), receipt: string },
      },
      MSG_BACK: {
        request: { msg_type: 'MSG_BACK_REQ', ...held },
        options: { delay_ms: integer(0, 604_800_000), count: boolean, receipt: string },
      },
    };
    const allOptions = new Set(Object.values(requests).flatMap(({ options }) => Object.keys(options)));

    for (const [type, { request, options }] of Object.entries(requests)) {
      for (const [field, { bad, fault }] of Object.entries(options))
        it(`with a wrong value is refused with what is allowed: ${field} of ${type}_REQ`, async () => {
          const message = `${field} ${fault}`;
          for (const value of bad)
            expectError(await refusedBody({ ...request, [field]: value }), {
              reason: 'invalid_request',
              msgType: `${type}_ACK`,
              message: `${type}_REQ is not valid: ${message}`,
              details: JSON.stringify([{ field, message }]),
            });
        });

      it(`of another message type is refused, and named: ${type}_REQ`, async () => {
        for (const field of allOptions)
          if (!(field in options)) {
            const message = `${field} is not a field of this request`;
            expectError(await refusedBody({ ...request, [field]: 1 }), {
              reason: 'invalid_request',
              msgType: `${type}_ACK`,
              message: `${type}_REQ is not valid: ${message}`,
              details: JSON.stringify([{ field, message }]),
            });
          }
      });
    }

    it('that is a list is refused with the indexes of its wrong elements: ids of MSG_FREE_REQ', async () => {
      const { error } = parsed(
        await refusedBody({ msg_type: 'MSG_FREE_REQ', saddr: 7, daddr: 1, ids: [1, '2', 3, -4] }),
      );
      expect(error.details).to.deep.equal([
        { field: 'ids.1', message: 'ids[1] must be an integer from 0 to 9007199254740991, a JSON number' },
        { field: 'ids.3', message: 'ids[3] must be an integer from 0 to 9007199254740991, a JSON number' },
      ]);
    });

    it('that excludes another is refused beside it: ids and receipt of MSG_FREE_REQ', async () => {
      const message = 'receipt is of one delivery: it cannot be used with ids';
      const body = { msg_type: 'MSG_FREE_REQ', saddr: 7, daddr: 1, ids: [1], receipt: 'x' };
      const { error } = parsed(await refusedBody(body));
      expect(error.details).to.deep.equal([{ field: 'receipt', message }]);
    });
  });

  describe('a broker that fails', () => {
    const REQUESTS: Record<string, object> = {
      MSG_SEND_ACK: sendRequest(100, 1),
      MSG_RECV_ACK: recvRequest(100),
      MSG_FREE_ACK: freeRequest(100, 1),
      MSG_HELO_ACK: { msg_type: 'MSG_HELO_REQ', saddr: 100, daddr: 5000 },
      MSG_STAT_ACK: statRequest(100),
      MSG_GBYE_ACK: { msg_type: 'MSG_GBYE_REQ', saddr: 100, daddr: 5000 },
      MSG_KEEP_ACK: { msg_type: 'MSG_KEEP_REQ', saddr: 100, daddr: 5000, id: 1, visibility_timeout_ms: 1 },
      MSG_BACK_ACK: { msg_type: 'MSG_BACK_REQ', saddr: 100, daddr: 5000, id: 1 },
    };

    it('answers unavailable with Retry-After and the outcome while Redis is down, and counts nothing as done', async () => {
      const redis = await startRedisServer();
      const orphan = await startBroker({ AIZUMI_REDIS_URL: redis.url });
      try {
        await redis.kill9();
        await until('Redis is reported as unreachable', async () =>
          (await orphan.post(recvRequest(100))).text.includes('"not_done"'),
        );
        for (const [msgType, request] of Object.entries(REQUESTS)) {
          const { text, status, headers } = await orphan.post(request);
          expect(text).to.equal(
            errorText({
              reason: 'unavailable',
              msgType,
              outcome: 'not_done',
              message: 'Redis is out of reach; nothing was done: try again',
            }),
          );
          expect(status).to.equal(503);
          expect(headers.get('retry-after')).to.equal('1');
          expect(headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
        }
        const ready = await fetch(`${orphan.url}readyz`);
        expect(ready.status).to.equal(503);
        expect(ready.headers.get('retry-after')).to.equal('1');
        expect((await fetch(`${orphan.url}livez`)).status).to.equal(200);
      } finally {
        await orphan.stop();
        await redis.stop();
      }
    });

    it('answers internal, with the request id of the log line, when foreign data stands at its keys', async () => {
      const confused = await startBroker();
      const itsStore = openStore(confused.config);
      try {
        await itsStore.raw.set(itsStore.key('{100}:queue'), 'not a stream');
        for (const msgType of ['MSG_SEND_ACK', 'MSG_RECV_ACK', 'MSG_HELO_ACK', 'MSG_STAT_ACK']) {
          const { text, status, headers } = await confused.post(REQUESTS[msgType]!);
          expect(text).to.equal(
            errorText({
              reason: 'internal',
              msgType,
              outcome: 'unknown',
              message: 'the broker failed; its log says more',
            }),
          );
          expect(status).to.equal(500);
          expect(headers.get('retry-after')).to.equal(null);
          expect(headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
        }
        expect((await confused.post(recvRequest(101))).status, 'other queues').to.equal(404);
      } finally {
        itsStore.close();
        await confused.stop();
      }
    });

    it('answers requests in progress while it stops, /readyz with draining, and closes the connections', async () => {
      const leaving = await startBroker();
      const [sender, probe] = await Promise.all([openConnection(leaving.url), openConnection(leaving.url)]);
      const send = httpRequest(JSON.stringify(sendRequest(100, 1)));
      const ready = httpRequest('', { method: 'GET', path: '/readyz' });
      sender.write(send.subarray(0, -5));
      probe.write(ready.subarray(0, -5));
      await until('both requests are in progress', async () => (await leaving.post(statRequest(100))).status === 200);
      const stopped = leaving.stop();
      probe.write(ready.subarray(-5));
      const { status, text, headers } = await probe.reply();
      expect(text).to.equal(errorText({ reason: 'draining', message: 'this worker is stopping: use another' }));
      expect(status).to.equal(503);
      expect(headers).to.include({ 'retry-after': '1', connection: 'close' });
      sender.write(send.subarray(-5));
      const sent = await sender.reply();
      expect(sent.text).to.equal('{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}');
      expect(sent.headers.connection).to.equal('close');
      await Promise.all([sender.closed(), probe.closed(), stopped]);
    });
  });
});
