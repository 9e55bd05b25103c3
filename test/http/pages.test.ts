import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';

const run = promisify(execFile);
const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };

describe('http: pages', () => {
  let broker: TestBroker;
  // anonymous access, because the pages are requested under other host names too
  before(async () => (broker = await startBroker({ AIZUMI_ALLOW_ANONYMOUS: 'true' })));
  after(() => broker.stop());

  const get = (path: string, headers: Record<string, string> = BROWSER, method = 'GET'): Promise<Response> =>
    fetch(new URL(path, broker.url), { method, headers });

  /** A request without fetch(), which sets Host itself, and Cache-Control with If-None-Match. */
  async function plainGet(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
    const { host } = new URL(broker.url);
    const req = request(new URL(path, broker.url), { headers: { host, ...BROWSER, ...headers } }).end();
    const [response] = (await once(req, 'response')) as [IncomingMessage];
    return response;
  }

  const pageFor = async (headers: Record<string, string>): Promise<string> => text(await plainGet('', headers));

  async function statusOf(path: string, headers: Record<string, string>): Promise<number | undefined> {
    const response = await plainGet(path, headers);
    response.resume();
    return response.statusCode;
  }

  const unescaped = (html: string): string[] =>
    [...html.matchAll(/<pre[^>]*><code>(.*?)<\/code>/gs)].map(([, line = '']) => line);

  it('show a browser how to send the first message, with commands that work', async () => {
    const response = await get('');
    expect(response.status).to.equal(200);
    expect(response.headers.get('content-type')).to.equal('text/html; charset=utf-8');
    const commands = unescaped(await response.text());
    const printed: string[] = [];
    let receipt = '';
    for (const command of commands) {
      const here = command.replace('RECEIPT', receipt);
      const { stdout } = await run('sh', ['-c', `${here} -sS --noproxy '*'`]);
      printed.push(
        stdout.replace(/,"delivery":{"receipt":"([\d:-]+)",.*?}/, (_, given: string) => ((receipt = given), '')),
      );
    }
    expect(printed).to.deep.equal([
      '{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}',
      '{"code":200,"status":"OK","msg_type":"MSG_RECV_ACK","saddr":1,"daddr":100,"id":12000,"payload":"hello"}',
      '{"code":200,"status":"OK","msg_type":"MSG_FREE_ACK"}',
    ]);
    expect(commands[1]).to.include('"wait_ms":20000,"details":true');
    expect(commands[2]).to.include('"receipt":"RECEIPT"');
  });

  it('show the host that the browser used', async () => {
    expect(await pageFor({ host: 'mq.example:81' })).to.include(' http://mq.example:81/<');
    expect(await pageFor({ host: 'mq.example', 'x-forwarded-proto': 'https' })).to.include(' https://mq.example/<');
    expect(await pageFor({ host: '[::1]:8080' })).to.include(' http://[::1]:8080/<');
  });

  it('show no host that could be interpreted by a shell or as HTML', async () => {
    for (const host of ['x;rm', '$(id)', '<script>', "a'b", 'a b', '`id`', 'a&b'])
      expect(await pageFor({ host }), host).to.include(' http://localhost:8080/<');
  });

  it('are not sent to other clients, which get 405', async () => {
    for (const [method, headers] of [
      ['GET', {}],
      ['GET', { accept: '*/*' }],
      ['HEAD', { accept: 'application/json' }],
      ['PUT', BROWSER],
      ['DELETE', BROWSER],
    ] as const) {
      const response = await get('', headers, method);
      expect(response.status, method).to.equal(405);
      expect(response.headers.get('allow')).to.equal('POST');
    }
  });

  it('load nothing from other sites, and every file that they refer to exists', async () => {
    for (const page of ['', 'reference']) {
      const html = await (await get(page)).text();
      const named = [...html.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, path = '']) => path);
      expect(named.length).to.be.above(3);
      for (const path of named.filter((name) => !name.startsWith('data:'))) {
        expect(path).not.to.match(/^(https?:)?\/\//);
        expect((await get(path)).status, path).to.equal(200);
      }
    }
    const script = await (await get('reference/page.js')).text();
    expect(script).to.include("'openapi.json'");
  });

  const PATHS = [
    '',
    'openapi.json',
    'reference',
    'reference/swagger-ui.css',
    'reference/swagger-ui-bundle.js',
    'reference/page.js',
    'reference/page.css',
  ];
  for (const path of PATHS)
    describe(`/${path}`, () => {
      it('has a Content-Security-Policy that allows only what it needs', async () => {
        const { headers } = await get(path);
        expect(headers.get('x-content-type-options')).to.equal('nosniff');
        const policy = headers.get('content-security-policy')!;
        expect(policy).to.match(/^default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'/);
        expect(policy).not.to.match(/unsafe|https?:|\*/);
        expect(policy.includes("script-src 'self'")).to.equal(path === 'reference');
      });

      it('is answered without its body for HEAD', async () => {
        const [head, full] = [await get(path, BROWSER, 'HEAD'), await get(path)];
        expect(head.status).to.equal(200);
        expect(await head.text()).to.equal('');
        expect(Number(head.headers.get('content-length'))).to.equal((await full.arrayBuffer()).byteLength);
      });

      it('is answered 304 while it is unchanged', async () => {
        const etag = (await get(path)).headers.get('etag')!;
        expect(await statusOf(path, { 'if-none-match': etag })).to.equal(304);
        expect(await statusOf(path, { 'if-none-match': '"other"' })).to.equal(200);
      });
    });
});
