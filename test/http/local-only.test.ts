// aizumi without API keys serves clients of this machine, but no page of another site in its browsers.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { bearer, ALL, keysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const SEND = JSON.stringify(sendRequest(100, 1));
const LOOPBACK = [
  'localhost',
  'LocalHost:8080',
  'localhost.',
  'a.localhost:80',
  '127.0.0.1',
  '127.1.2.3:8080',
  '[::1]',
];
const OTHERS = ['evil.example', 'evil.example:8080', 'localhost.evil.example', 'notlocalhost', '10.0.0.1', '0.0.0.0'];
const OPEN = ['/livez', '/readyz'];

type Headers = Record<string, string | undefined>;

/** Looks where Debian and other distributions install it. */
function findChromium(): string | undefined {
  for (const name of [process.env.AIZUMI_TEST_CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'])
    try {
      if (name) return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      // not installed here
    }
  return undefined;
}

describe('http: aizumi without keys', () => {
  let broker: TestBroker;
  afterEach(() => broker.stop());

  async function ask(headers: Headers, path = '/', method = 'POST'): Promise<{ status: number; text: string }> {
    const connection = await openConnection(broker.url);
    connection.write(httpRequest(method === 'POST' ? SEND : '', { method, path, headers }));
    const reply = await connection.reply(5_000, method);
    connection.destroy();
    return reply;
  }
  const statusOf = async (...asked: Parameters<typeof ask>): Promise<number> => (await ask(...asked)).status;

  describe('on loopback', () => {
    beforeEach(async () => void (broker = await startBroker()));

    it('serves requests with a loopback name or address in Host, or without Host', async () => {
      for (const Host of [...LOOPBACK, '[0:0:0:0:0:0:0:1]:8080', '', undefined])
        // all on one connection, no name twice in a row, since the connection remembers the latest valid name
        if (Host !== undefined) expect(await statusOf({ Host }), Host).to.equal(200);
        else {
          const connection = await openConnection(broker.url);
          connection.write(
            `POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${SEND.length}\r\n\r\n${SEND}`,
          );
          expect((await connection.reply()).status).to.equal(200);
          connection.destroy();
        }
    });

    it('refuses every other name in Host, and does nothing', async () => {
      for (const Host of [
        ...OTHERS,
        '[::2]',
        '[',
        ']',
        ':',
        '127.0.0.1.evil.example',
        'evil.example:127.0.0.1',
        'a b',
        ...['evil.example/', 'evil.example?', 'evil.example#', 'a b', 'a\\'].map((name) => `${name}.localhost`),
      ]) {
        const { status, text } = await ask({ Host });
        expect(status, Host).to.equal(403);
        expect((JSON.parse(text) as { error: object }).error).to.include({ reason: 'forbidden' });
        expect(text).to.include('AIZUMI_API_KEYS_FILE').and.to.include('AIZUMI_ALLOW_ANONYMOUS=true');
      }
      expect((await broker.post(recvRequest(100))).status).to.equal(404);
    });

    it('refuses requests from pages of other sites, even with a valid Host', async () => {
      for (const origin of [
        ...OTHERS.map((host) => `http://${host}`),
        'https://evil.example',
        'null',
        'x',
        '',
        'http://',
      ])
        expect(await statusOf({ Host: '127.0.0.1', Origin: origin }), origin).to.equal(403);
      expect((await broker.post(recvRequest(100))).status).to.equal(404);
      for (const host of LOOPBACK)
        expect(await statusOf({ Host: '127.0.0.1', Origin: `http://${host}` }), host).to.equal(200);
    });

    it('refuses them on every path and method, except for probes', async () => {
      for (const path of ['/', '/queues', '/queues/100', '/openapi.json', '/reference', '/nowhere'])
        for (const method of ['GET', 'OPTIONS', 'HEAD'])
          for (const headers of [{ Host: 'evil.example' }, { Origin: 'http://evil.example' }])
            expect(await statusOf(headers, path, method), `${method} ${path}`).to.equal(403);
      for (const path of OPEN) expect(await statusOf({ Host: '10.1.2.3:8080' }, path, 'GET'), path).to.equal(200);
    });

    it('checks each request of a connection', async () => {
      const connection = await openConnection(broker.url);
      const statuses: number[] = [];
      for (const Host of ['localhost', 'evil.example', 'localhost', 'evil.example']) {
        connection.write(httpRequest(SEND, { headers: { Host } }));
        statuses.push((await connection.reply()).status);
      }
      connection.destroy();
      expect(statuses).to.deep.equal([200, 403, 200, 403]);
    });

    it('is not reached by a page in Chromium whose name is made to resolve to 127.0.0.1', async function () {
      const chromium = findChromium();
      if (chromium === undefined) this.skip();
      this.timeout(120_000);
      await broker.post(sendRequest(100, 7, 'secret'));
      const reported = await visit(chromium, broker.url);
      // everything that the page could read or change
      expect(reported).to.deep.equal({ queue: 403, recv: 403, send: 403 });
      expect((await broker.post(recvRequest(100))).json).to.include({ id: 7, payload: 'secret' });
      expect((await broker.post(recvRequest(100))).status).to.equal(404);
    });
  });

  it('serves any Host and Origin if AIZUMI_ALLOW_ANONYMOUS is set', async () => {
    broker = await startBroker({ AIZUMI_ALLOW_ANONYMOUS: 'true' });
    for (const Host of OTHERS) expect(await statusOf({ Host, Origin: 'http://evil.example' }), Host).to.equal(200);
  });

  it('checks no Host and no Origin if API keys are required', async () => {
    const file = keysFile();
    const key = file.add(ALL);
    broker = await startBroker(file.env);
    const headers = { Host: 'mq.example', Origin: 'https://console.example', Authorization: bearer(key).authorization };
    expect(await statusOf(headers)).to.equal(200);
    file.delete();
  });
});

const PAGE = `<!doctype html><script>
const json = { 'content-type': 'application/json' };
const post = (type) => fetch('/', { method: 'POST', headers: json, body: JSON.stringify({ msg_type: type, saddr: 100, daddr: 100, id: 1, payload: 1 }) });
const status = (asked) => asked.then((response) => response.status, () => 'no answer');
(async () => {
  const seen = { queue: await status(fetch('/queues/100')), recv: await status(post(3)), send: await status(post(1)) };
  await fetch('/seen', { method: 'POST', body: JSON.stringify(seen) });
})();
</script>`;

/**
 * Makes Chromium visit evil.example, which resolves to 127.0.0.1. A server there serves the page and forwards all other
 * requests to aizumi unchanged, as if the name now resolved to aizumi itself.
 * @returns what the page saw
 */
async function visit(chromium: string, brokerUrl: string): Promise<unknown> {
  let seen: unknown;
  const server = createServer((req, res) => {
    if (req.url === '/page') res.setHeader('Content-Type', 'text/html').end(PAGE);
    else if (req.url === '/seen')
      void text(req).then((body) => {
        seen = JSON.parse(body);
        res.end();
      });
    else {
      const { method, headers } = req;
      const onwards = request(new URL(req.url ?? '/', brokerUrl), { method, headers, setHost: false }, (answer) =>
        answer.pipe(res.writeHead(answer.statusCode ?? 500, answer.headers)),
      );
      req.pipe(onwards);
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const profile = mkdtempSync(join(tmpdir(), 'aizumi-chromium-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-proxy-server', `--user-data-dir=${profile}`];
  const rules = '--host-resolver-rules=MAP evil.example 127.0.0.1';
  const browser = spawn(chromium, [...flags, '--remote-debugging-port=0', rules, `http://evil.example:${port}/page`], {
    stdio: 'ignore',
    detached: true, // a process group of its own
  });
  const gone = once(browser, 'exit');
  try {
    return await until('the page has reported', () => seen, 90_000);
  } finally {
    process.kill(-browser.pid!, 'SIGKILL');
    await gone;
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
