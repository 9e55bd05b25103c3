import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import type { Config } from '../../src/config/config.js';
import { startWorker } from '../../src/worker.js';
import type { Worker } from '../../src/worker.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { makeCertificates } from '../support/certificates.js';
import type { Certificates } from '../support/certificates.js';
import { chunk, httpRequest, openConnection } from '../../harness/connection.js';
import type { Connection, RawReply } from '../../harness/connection.js';
import { patient } from '../../harness/patience.js';
import { recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { openStore } from '../support/store.js';
import type { Store } from '../support/store.js';
import { until } from '../../harness/until.js';

const LIMIT = 1_048_576;
const SENT = '{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}';
const STAT_TEXT = JSON.stringify(statRequest(1));
const STAT = httpRequest(STAT_TEXT);
const TOO_LARGE = `{"code":413,"status":"Payload Too Large","error":{"reason":"too_large","message":"the body is over the limit of ${LIMIT} bytes (AIZUMI_MAX_BODY_BYTES); nothing was stored","details":[]}}`;
const TOO_DEEP =
  '{"code":400,"status":"Bad Request","error":{"reason":"invalid_request","message":"the body is nested deeper than 64 levels","details":[]}}';

const sendText = (payload: string): string =>
  `{"msg_type":"MSG_SEND_REQ","saddr":1,"daddr":100,"id":1,"payload":${payload}}`;
const CHUNKED = { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' };

const reasonOf = ({ text }: RawReply): string => (JSON.parse(text) as { error: { reason: string } }).error.reason;

const hostile = (scheme: 'http' | 'https') => (): void => {
  let config: Config;
  let worker: Worker;
  let url: string;
  /** A broker over the same keys, for requests beside those under test. */
  let plain: TestBroker;
  let certificates: Certificates;
  let store: Store;
  let connection: Connection;
  /** Lines of the worker's log and warnings of the process, each prefixed with the title of the test that caused it. */
  const complaints: string[] = [];
  let test = 'before all';
  const onWarning = (warning: Error): void => void complaints.push(`${test}: ${warning.message}`);

  before(async () => {
    process.on('warning', onWarning);
    certificates = makeCertificates();
    config = loadConfig({
      AIZUMI_PORT: '0',
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
      ...(scheme === 'https' && certificates.settings),
    });
    const log = pino({ level: 'warn' }, { write: (line: string) => void complaints.push(`${test}: ${line}`) });
    worker = await startWorker(config, config.redisUrl!, Date.now(), log);
    url = `${scheme}://127.0.0.1:${worker.port}/`;
    plain = await startBroker({ AIZUMI_KEY_PREFIX: config.keyPrefix });
    complaints.length = 0;
    store = openStore(config);
  });
  after(async () => {
    process.off('warning', onWarning);
    store.close();
    await worker.stop();
    await plain.stop();
    certificates.remove();
  });

  beforeEach(async function () {
    test = this.currentTest!.fullTitle();
    connection = await openConnection(url);
  });
  afterEach('the worker still answers', async () => {
    const other = await openConnection(url);
    await expectServedOn(other);
    other.destroy();
    connection.destroy();
    // A SEND of a disconnected client may still be in progress, with up to three commands; each STAT here waits for one of them.
    for (let step = 0; step < 3; step++) expect((await plain.post(statRequest(1))).status).to.equal(200);
    const keys = await store.keys();
    if (keys.length > 0) await store.raw.del(...keys.map((name) => store.key(name)));
  });

  const waiting = (): Promise<number> => store.raw.xlen(store.key('{100}:queue'));

  const expectServed = (): Promise<void> => expectServedOn(connection);

  async function expectServedOn(one: Connection): Promise<void> {
    one.write(STAT);
    expect((await one.reply()).text).to.match(/^\{"code":200,"status":"OK","msg_type":"MSG_STAT_ACK"/);
  }

  async function expectRefusedBody(body: string | Uint8Array, reason: string): Promise<RawReply> {
    connection.write(httpRequest(body));
    const reply = await connection.reply();
    expect(reply.status).to.equal(400);
    expect(reasonOf(reply)).to.equal(reason);
    expect(await store.keys()).to.deep.equal([]);
    await expectServed();
    return reply;
  }

  describe('a body that is too large', () => {
    it('is refused by its Content-Length before it is sent, and the connection stays usable', async () => {
      const body = sendText(JSON.stringify('x'.repeat(LIMIT)));
      const request = httpRequest(body);
      const head = request.length - body.length;
      connection.write(request.subarray(0, head));
      const reply = await connection.reply();
      expect([reply.status, reply.text]).to.deep.equal([413, TOO_LARGE]);
      connection.write(request.subarray(head));
      await expectServed();
      expect(await store.keys()).to.deep.equal([]);
    });

    it('is refused while it is read if it has no Content-Length, and the connection stays usable', async () => {
      connection.write(httpRequest('', { headers: CHUNKED }));
      connection.write(chunk(sendText('"').slice(0, -1)));
      for (let kib = 0; kib < LIMIT / 1024; kib++) connection.write(chunk('x'.repeat(1024)));
      const reply = await connection.reply();
      expect([reply.status, reply.text]).to.deep.equal([413, TOO_LARGE]);
      connection.write(`${chunk('"}')}0\r\n\r\n`);
      await expectServed();
      expect(await store.keys()).to.deep.equal([]);
    });

    it('is refused at one byte over the limit, and accepted at the limit', async () => {
      const fill = LIMIT - sendText('""').length;
      connection.write(httpRequest(sendText(JSON.stringify('x'.repeat(fill + 1)))));
      expect((await connection.reply()).status).to.equal(413);
      expect(await store.keys()).to.deep.equal([]);

      const payload = JSON.stringify('x'.repeat(fill));
      connection.write(httpRequest(sendText(payload)));
      expect((await connection.reply()).text).to.equal(SENT);
      connection.write(httpRequest('', { headers: CHUNKED }));
      connection.write(`${chunk(sendText(payload))}0\r\n\r\n`);
      expect((await connection.reply()).text).to.equal(SENT);
      for (let n = 0; n < 2; n++)
        expect((await plain.post(recvRequest(100))).text).to.equal(
          `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":1,"daddr":100,"id":1,"payload":${payload}}`,
        );
    });

    it('is measured in bytes, not in characters', async () => {
      connection.write(httpRequest(sendText(JSON.stringify('あ'.repeat(LIMIT / 3)))));
      expect((await connection.reply()).status).to.equal(413);
    });

    it('is refused on every path and method that reads it, and otherwise not read at all', async () => {
      for (const [path, status] of [
        ['/livez', 405],
        ['/nowhere', 404],
      ] as const) {
        connection.write(httpRequest('x'.repeat(LIMIT + 1), { path }));
        expect((await connection.reply()).status).to.equal(status);
      }
      await expectServed();
    });
  });

  describe('a deeply nested body', () => {
    const around = (levels: number, [open, close]: [string, string], inner = ''): string =>
      open.repeat(levels) + inner + close.repeat(levels);

    for (const brackets of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as [string, string][]) {
      it(`is accepted at 64 levels of ${brackets.join('')}, including its own object`, async () => {
        const payload = around(63, brackets, '1');
        connection.write(httpRequest(sendText(payload)));
        expect((await connection.reply()).text).to.equal(SENT);
      });

      it(`is refused at 65 levels of ${brackets.join('')}`, async () => {
        const { text } = await expectRefusedBody(sendText(around(64, brackets, '1')), 'invalid_request');
        expect(text).to.equal(TOO_DEEP);
      });

      it(`is refused at 100,000 levels of ${brackets.join('')}, closed or not`, async () => {
        await expectRefusedBody(`{"a":${around(100_000, brackets, '1')}}`, 'invalid_request');
        await expectRefusedBody(sendText(around(100_000, brackets, '1')), 'invalid_request');
        await expectRefusedBody(`{"a":${brackets[0].repeat(100_000)}`, 'invalid_request');
      });
    }

    it('is refused at 100,000 levels in a batch, without the other requests of the batch', async () => {
      connection.write(httpRequest(`[${around(100_000, ['[', ']'], '1')},${STAT_TEXT}]`));
      const { status, text } = await connection.reply();
      expect(status).to.equal(207);
      expect(text.startsWith(`[${TOO_DEEP},{"code":200,`), text).to.equal(true);
      await expectRefusedBody('['.repeat(100_000), 'invalid_json');
    });

    it('is one with brackets outside of strings: those in strings do not count', async () => {
      connection.write(httpRequest(sendText(JSON.stringify('[{"'.repeat(100)))));
      expect((await connection.reply()).text).to.equal(SENT);
    });

    it('is not one with many arrays beside each other', async () => {
      connection.write(httpRequest(sendText(`[${Array(50_000).fill('[]').join(',')}]`)));
      expect((await connection.reply()).text).to.equal(SENT);
    });

    it('is refused as invalid JSON if it consists of closing brackets only', async () => {
      await expectRefusedBody(']'.repeat(100_000), 'invalid_json');
      await expectRefusedBody('"'.repeat(100_001), 'invalid_json');
      await expectRefusedBody('\\'.repeat(100_000), 'invalid_json');
    });
  });

  describe('a body with unusual bytes', () => {
    const inString = (...bytes: number[]): Buffer => {
      const [before = '', after = ''] = sendText('"?"').split('?');
      return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
    };
    const notUtf8: Record<string, Buffer> = {
      'a character cut short in a string': inString(0xe3, 0x81),
      'a character cut short at the end': Buffer.concat([Buffer.from(sendText('1')), Buffer.from([0xf0, 0x9f])]),
      'a continuation byte alone': inString(0x80),
      'an overlong NUL': inString(0xc0, 0x80),
      'an overlong slash of three bytes': inString(0xe0, 0x80, 0xaf),
      'an encoded surrogate': inString(0xed, 0xa0, 0x80),
      'a code point over U+10FFFF': inString(0xf4, 0x90, 0x80, 0x80),
      'the byte FF': inString(0xff),
      'Latin-1': inString(...Buffer.from('é', 'latin1')),
      'UTF-16': Buffer.from(sendText('1'), 'utf16le').fill(0xd8, 1, 2),
    };
    for (const [what, body] of Object.entries(notUtf8))
      it(`is refused if it is not UTF-8: ${what}`, async () => {
        const { text } = await expectRefusedBody(body, 'invalid_json');
        expect(text).to.equal(
          '{"code":400,"status":"Bad Request","error":{"reason":"invalid_json","message":"the body is not valid UTF-8","details":[]}}',
        );
      });

    const notJson: Record<string, Buffer> = {
      'a raw NUL in a string': inString(0),
      'a raw NUL behind the object': Buffer.from(`${sendText('1')}\0`),
      'a raw line break in a string': inString(0x0a),
      'nothing but NUL bytes': Buffer.alloc(1000),
      'UTF-16 that is UTF-8 as well': Buffer.from(sendText('1'), 'utf16le'),
      'a no-break space around the object': Buffer.from(`\u00a0${sendText('1')}`),
      'a no-break space around the payload': Buffer.from(sendText('\u00a01')),
    };
    for (const [what, body] of Object.entries(notJson))
      it(`is refused if it is not JSON: ${what}`, () => expectRefusedBody(body, 'invalid_json'));

    it('is refused with a message of its own if it starts with a byte order mark', async () => {
      const { text } = await expectRefusedBody(`\ufeff${sendText('1')}`, 'invalid_json');
      expect(text).to.equal(
        '{"code":400,"status":"Bad Request","error":{"reason":"invalid_json","message":"the body starts with a byte order mark: send UTF-8 without it","details":[]}}',
      );
    });

    it('is refused as invalid JSON if a byte order mark stands elsewhere', async () => {
      const { text } = await expectRefusedBody(` \ufeff${sendText('1')}`, 'invalid_json');
      expect(text).to.match(/"message":"the body is not valid JSON: [^"]/);
    });

    it('is refused wherever it is truncated', async () => {
      const whole = sendText('{"a":["\\u00e9",1.5e3,true,null,"\\\\"]}');
      for (let length = 0; length < whole.length; length++) {
        connection.write(httpRequest(whole.slice(0, length)));
        const reply = await connection.reply();
        expect([reply.status, reasonOf(reply)], whole.slice(0, length)).to.deep.equal([400, 'invalid_json']);
      }
      expect(await store.keys()).to.deep.equal([]);
    });

    it('is read correctly if it arrives byte by byte, split within characters', async () => {
      const request = httpRequest(sendText('"こんにちは😀"'));
      for (const byte of request) {
        connection.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect((await connection.reply()).text).to.equal(SENT);
      expect((await plain.post(recvRequest(100))).text).to.match(/"payload":"こんにちは😀"\}$/);
    });
  });

  describe('invalid HTTP', () => {
    const error = (code: number, status: string, reason: string, message: string): string =>
      `{"code":${code},"status":"${status}","error":{"reason":"${reason}","message":"${message}","details":[]}}`;

    const garbage: Record<string, string | Buffer> = {
      words: 'hello, is this a broker?\r\n\r\n',
      'a body without headers': `${sendText('1')}\n`,
      'a TLS handshake': Buffer.from('16030100c8010000c403030000000000', 'hex'),
      'a Redis command': '*1\r\n$4\r\nPING\r\n',
      'NUL bytes': Buffer.alloc(64),
      'HTTP/2 without asking': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'an unknown method': 'SEND / HTTP/1.1\r\nHost: x\r\n\r\n',
      'a header without a colon': 'POST / HTTP/1.1\r\nHost x\r\n\r\n',
      'a NUL in a header': 'POST / HTTP/1.1\r\nHost: x\0y\r\n\r\n',
      'a Content-Length that is no number': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n',
      'a negative Content-Length': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
      'two lengths': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      'a length and chunks': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      'a chunk without a size': `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n`,
    };
    for (const [what, bytes] of Object.entries(garbage))
      it(`is answered 400 in the format of every error, and the connection is closed: ${what}`, async () => {
        connection.write(bytes);
        const { status, text, headers } = await connection.reply();
        expect(text).to.match(
          /^\{"code":400,"status":"Bad Request","error":\{"reason":"invalid_request","message":"this is not a valid HTTP\/1\.1 request \(Parse Error[^"]*\); TLS and HTTP\/2 are not spoken here","details":\[\]\}\}$/,
        );
        expect(status).to.equal(400);
        expect(headers).to.include({ 'content-type': 'application/json; charset=utf-8', connection: 'close' });
        expect(await connection.closed()).to.equal('');
        expect(await store.keys()).to.deep.equal([]);
      });

    for (const [what, headers] of Object.entries({
      'no Host': { Host: undefined },
      'an expectation that nobody can meet': { Expect: 'a-miracle' },
    }))
      it(`is tolerated where it is harmless: ${what}`, async () => {
        connection.write(httpRequest(sendText('1'), { headers }));
        const { status, text, headers: answered } = await connection.reply();
        expect([status, text]).to.deep.equal([200, SENT]);
        expect(answered).to.include({ 'content-type': 'application/json; charset=utf-8', connection: 'keep-alive' });
        expect(await waiting()).to.equal(1);
        await expectServed();
      });

    const TOO_LARGE_HEAD = error(
      431,
      'Request Header Fields Too Large',
      'headers_too_large',
      'send less than 16 KiB of headers',
    );
    const large: Record<string, Buffer> = {
      'one long header': httpRequest(sendText('1'), { headers: { 'X-Long': 'x'.repeat(20_000) } }),
      'many headers': httpRequest(sendText('1'), {
        headers: Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`X-${n}`, 'x'.repeat(10)])),
      }),
      'a long path': httpRequest(sendText('1'), { path: `/?${'x'.repeat(20_000)}` }),
    };
    for (const [what, request] of Object.entries(large))
      it(`is answered 431 if its headers are too large: ${what}`, async () => {
        connection.write(request);
        const { status, text } = await connection.reply();
        expect([status, text]).to.deep.equal([431, TOO_LARGE_HEAD]);
        await connection.closed();
        expect(await store.keys()).to.deep.equal([]);
      });

    const afterwards: Record<string, string | Buffer> = {
      'the NUL that ends a C string': '\0',
      'a request that is no HTTP': 'hello\r\n\r\n',
      'a request with a bad chunk': Buffer.concat([httpRequest('', { headers: CHUNKED }), Buffer.from('no size\r\n')]),
      'a request with large headers': httpRequest('{}', { headers: { 'X-Long': 'x'.repeat(20_000) } }),
    };
    for (const [what, bytes] of Object.entries(afterwards)) {
      it(`does not cost the valid request before it its reply: ${what}`, async () => {
        connection.write(Buffer.concat([httpRequest(sendText('1')), Buffer.from(bytes as string)]));
        const first = await connection.reply();
        await until('the message was stored', async () => (await waiting()) === 1);
        expect(first.text, 'the SEND was done').to.equal(SENT);
        expect((await connection.reply()).headers.connection).to.equal('close');
        expect(await connection.closed()).to.equal('');
      });

      it(`does not cost several valid requests before it their replies: ${what}`, async () => {
        const sends = Array.from({ length: 5 }, () => httpRequest(sendText('1')));
        connection.write(Buffer.concat([...sends, Buffer.from(bytes as string)]));
        for (const _ of sends) expect((await connection.reply()).text).to.equal(SENT);
        expect(await waiting()).to.equal(5);
        expect((await connection.reply()).headers.connection).to.equal('close');
        expect(await connection.closed()).to.equal('');
      });
    }

    it('does not cost the valid request before it its reply, even if that one has an unknown Expect header', async () => {
      connection.write(Buffer.concat([httpRequest(sendText('1'), { headers: { Expect: 'a-miracle' } }), Buffer.of(0)]));
      const first = await connection.reply();
      await until('the message was stored', async () => (await waiting()) === 1);
      expect(first.text, 'the SEND was done').to.equal(SENT);
      expect((await connection.reply()).status).to.equal(400);
      expect(await connection.closed()).to.equal('');
    });
  });

  describe('unusual but valid HTTP', () => {
    it('pipelined requests are carried out and answered in order', async () => {
      const ids = Array.from({ length: 50 }, (_, id) => id);
      const sends = ids.map((id) => httpRequest(JSON.stringify(sendRequest(100, id))));
      const receives = ids.map(() => httpRequest(JSON.stringify(recvRequest(100))));
      connection.write(Buffer.concat(sends));
      for (const _ of ids) expect((await connection.reply()).text).to.equal(SENT);
      connection.write(Buffer.concat([...receives, ...receives.slice(0, 1)]));
      for (const id of ids)
        expect((await connection.reply()).text).to.equal(
          `{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":1,"daddr":100,"id":${id},"payload":"hello"}`,
        );
      expect(reasonOf(await connection.reply())).to.equal('queue_empty');
    });

    for (const path of ['http://host/', 'http://host', 'http://host:8080/?x=1', 'HTTP://HOST/', 'http://[::1]/'])
      it(`a path in absolute form, as sent to a proxy, is served: ${path}`, async () => {
        connection.write(httpRequest(sendText('1'), { path }));
        const { status, text } = await connection.reply();
        expect([status, text]).to.deep.equal([200, SENT]);
        expect(await waiting()).to.equal(1);
      });

    it('20 pipelined RECVs with wait_ms are answered, and nothing is logged', async () => {
      const recv = JSON.stringify({ ...recvRequest(100), wait_ms: 300 });
      connection.write(Buffer.concat(Array.from({ length: 20 }, () => httpRequest(recv))));
      for (let n = 0; n < 20; n++) expect(reasonOf(await connection.reply())).to.equal('queue_empty');
    });

    it('pipelined requests of all kinds, refused ones included, are answered in order', async () => {
      connection.write(
        Buffer.concat([
          httpRequest(sendText('1')),
          httpRequest('{'),
          httpRequest('', { path: '/livez', method: 'GET' }),
          httpRequest('{}', { method: 'PUT' }),
          httpRequest('x'.repeat(LIMIT + 1)),
          httpRequest(sendText('2')),
        ]),
      );
      const statuses: number[] = [];
      for (let n = 0; n < 6; n++) statuses.push((await connection.reply()).status);
      expect(statuses).to.deep.equal([200, 400, 200, 405, 413, 200]);
      expect(await waiting()).to.equal(2);
    });

    it('a client that half-closes after its request still gets the reply', async () => {
      connection.write(httpRequest(sendText('1')));
      connection.end();
      // over TLS a half-close counts as a disconnect
      if (scheme === 'http') expect((await connection.reply()).text).to.equal(SENT);
      expect(await connection.closed()).to.equal('');
    });

    it('a client that half-closes within its headers or body gets an error, and nothing is stored', async () => {
      for (const cut of [20, -5]) {
        const one = await openConnection(url);
        one.write(httpRequest(sendText('1')).subarray(0, cut));
        one.end();
        const reply = await one.reply();
        expect([reply.status, reasonOf(reply)]).to.deep.equal([400, 'invalid_request']);
        expect(await one.closed()).to.equal('');
      }
      expect(await store.keys()).to.deep.equal([]);
    });

    it('Expect: 100-continue is answered 100, then with the reply', async () => {
      const body = sendText('"hello"');
      const request = httpRequest(body, { headers: { Expect: '100-continue' } });
      connection.write(request.subarray(0, request.length - body.length));
      expect((await connection.reply()).status).to.equal(100);
      connection.write(body);
      expect((await connection.reply()).text).to.equal(SENT);
    });

    it('Expect: 100-continue for a body over the limit is answered 413 without reading the body', async () => {
      connection.write(httpRequest('', { headers: { Expect: '100-continue', 'Content-Length': String(LIMIT + 1) } }));
      let reply = await connection.reply();
      if (reply.status === 100) reply = await connection.reply(); // Node's server always says so first
      expect([reply.status, reply.text]).to.deep.equal([413, TOO_LARGE]);
    });

    it('HTTP/1.0 is answered, and the connection is closed', async () => {
      const body = sendText('1');
      connection.write(
        `POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      const { text, headers } = await connection.reply();
      expect(text).to.equal(SENT);
      expect(headers.connection).to.equal('close');
      expect(await connection.closed()).to.equal('');
    });

    it('Connection: close is answered, and the connection is closed', async () => {
      connection.write(httpRequest(sendText('1'), { headers: { Connection: 'close' } }));
      expect((await connection.reply()).text).to.equal(SENT);
      expect(await connection.closed()).to.equal('');
    });

    it('an Upgrade header is ignored', async () => {
      connection.write(
        httpRequest(sendText('1'), { headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c' } }),
      );
      expect((await connection.reply()).text).to.equal(SENT);
    });

    it('an idle connection is kept for 65 s, which the reply announces', async () => {
      connection.write(STAT);
      expect((await connection.reply()).headers).to.include({ connection: 'keep-alive', 'keep-alive': 'timeout=65' });
    });
  });

  describe('a client that disconnects', () => {
    /** Number of TCP sockets of this process, including the worker's side of each connection. */
    const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

    for (const leave of ['destroy', 'reset'] as const)
      it(`within its headers or body leaves nothing behind: ${leave}`, async () => {
        const before = sockets();
        const request = httpRequest(sendText(JSON.stringify('x'.repeat(100_000))));
        for (const cut of [0, 1, 20, 150, 50_000, request.length - 1]) {
          const client = await openConnection(url);
          client.write(request.subarray(0, cut));
          await expectServed(); // by now the worker has read it
          client[leave]();
        }
        await until('the sockets are closed', () => sockets() <= before);
        expect(await store.keys()).to.deep.equal([]);
      });

    for (const leave of ['destroy', 'reset'] as const)
      it(`after its request, without waiting for the reply, has sent the whole message or nothing: ${leave}`, async () => {
        const before = sockets();
        for (let n = 0; n < 20; n++) {
          const client = await openConnection(url);
          client.write(httpRequest(sendText('"whole"')));
          if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
          client[leave]();
        }
        await until('the sockets are closed', () => sockets() <= before);
        const entries = await store.raw.xrange(store.key('{100}:queue'), '-', '+');
        for (const [, fields] of entries) expect(fields).to.deep.equal(['saddr', '1', 'id', '1', 'payload', '"whole"']);
      });

    it('after a RECV without reading the reply leaves a message that can be received again', async () => {
      await plain.post(sendRequest(100, 1));
      connection.write(httpRequest(JSON.stringify(recvRequest(100))));
      await until('leased', async () => (await store.raw.zcard(store.key('{100}:leases'))) === 1);
      connection.reset();
      expect((await plain.post({ msg_type: 13, saddr: 100, daddr: 5000 })).status).to.equal(200);
      expect((await plain.post(recvRequest(100))).status).to.equal(200);
    });

    it('before a long pipeline is answered affects no other client', async () => {
      const before = sockets();
      const client = await openConnection(url);
      client.write(Buffer.concat(Array.from({ length: 500 }, () => httpRequest(sendText('1')))));
      await until('some requests are done', async () => (await waiting()) > 0);
      client.reset();
      await until('its socket is closed', () => sockets() <= before);
    });
  });

  describe('a slow client', () => {
    /** Writes two `bytes` a second, one at a time, and measures when the broker closes the connection. */
    async function dribble(client: Connection, bytes: Uint8Array): Promise<{ afterMs: number; rest: string }> {
      const startMs = performance.now();
      let sent = 0;
      const timer = setInterval(() => {
        if (sent < bytes.length && client.isOpen) client.write(bytes.subarray(sent, ++sent));
      }, 500);
      try {
        const rest = await client.closed(30_000);
        return { afterMs: performance.now() - startMs, rest };
      } finally {
        clearInterval(timer);
        client.destroy();
      }
    }

    const TIMED_OUT =
      '{"code":408,"status":"Request Timeout","error":{"reason":"request_timeout","message":"send the headers within 10 s and the request within 15 s","details":[]}}';
    const headers = httpRequest(sendText('1'), { headers: { 'X-Padding': 'x'.repeat(100) } });

    it('is answered 408 and disconnected after 10 s without all headers, or 15 s without the whole request', async function () {
      this.timeout(60_000);
      const [silent, slowHeaders, reused, slowBody, slowChunks, tooLarge] = await Promise.all(
        Array.from({ length: 6 }, () => openConnection(url)),
      );
      reused!.write(STAT);
      expect((await reused!.reply()).status).to.equal(200);
      slowBody!.write(httpRequest('', { headers: { 'Content-Length': '1000' } }));
      slowChunks!.write(httpRequest('', { headers: CHUNKED }));
      tooLarge!.write(httpRequest('', { headers: { 'Content-Length': String(LIMIT + 1) } }));
      expect((await tooLarge!.reply()).text).to.equal(TOO_LARGE);

      const cuts = await Promise.all([
        dribble(silent!, Buffer.alloc(0)),
        dribble(slowHeaders!, headers),
        dribble(reused!, headers),
        dribble(slowBody!, Buffer.alloc(100, ' ')),
        dribble(slowChunks!, Buffer.from('1\r\n \r\n'.repeat(20))),
        dribble(tooLarge!, Buffer.alloc(100, ' ')),
      ]);
      const limits = [
        ['a silent client', 9_000, 14_000],
        ['slow headers', 9_000, 14_000],
        ['slow headers on a connection that was used before', 9_000, 14_000],
        ['a slow body', 14_000, 19_000],
        ['slow chunks', 14_000, 19_000],
        ['a body that was refused and still comes', 14_000, 19_000],
      ] as const;
      limits.forEach(([what, fromMs, toMs], i) => {
        const { afterMs, rest } = cuts[i]!;
        expect(afterMs, what).to.be.within(fromMs, patient(toMs));
        if (i === 5) return; // this one was answered 413 before
        expect(rest, what).to.match(/^HTTP\/1\.1 408 Request Timeout\r\n/);
        expect(rest.slice(rest.indexOf('\r\n\r\n') + 4), what).to.equal(TIMED_OUT);
      });
      expect(await store.keys()).to.deep.equal([]);
    });
  });

  // A suite of its own, because mocha runs the tests of a suite before its nested suites.
  describe('a worker after all of these requests', () => {
    it('has logged no warning and no error', () => {
      expect(complaints).to.deep.equal([]);
    });
  });
};

describe('http/hostile', hostile('http'));
describe('http/hostile over TLS', hostile('https'));
