// Each limit: a request over it is refused with its name, nothing of it is done, and other clients are served.
import { request as httpRequestTo } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { ALL, bearer, keysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import type { Connection } from '../../harness/connection.js';
import { patient } from '../../harness/patience.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { until } from '../../harness/until.js';

const STAT = httpRequest(JSON.stringify(statRequest(1)));

describe('http/limits', function () {
  this.timeout(30_000);
  let broker: TestBroker;
  const open: { destroy(): void }[] = [];

  afterEach(async () => {
    for (const connection of open.splice(0)) connection.destroy();
    await broker.stop();
  });

  async function connect(): Promise<Connection> {
    const connection = await openConnection(broker.url);
    open.push(connection);
    return connection;
  }

  /** Sends a STAT from another IP address of this machine: all of 127.0.0.0/8 is loopback on Linux. */
  async function statFrom(localAddress: string): Promise<number> {
    const headers = { 'content-type': 'application/json' };
    const sent = httpRequestTo(broker.url, { method: 'POST', headers, localAddress, agent: false });
    sent.end(JSON.stringify(statRequest(1)));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode ?? 0;
  }

  /** Opens connections from another IP address. That the broker resets some of them is no failure. */
  function crowd(count: number, localAddress: string): Socket[] {
    const { hostname, port } = new URL(broker.url);
    const sockets = Array.from({ length: count }, () =>
      createConnection({ host: hostname, port: Number(port), localAddress }).on('error', () => undefined),
    );
    open.push(...sockets);
    return sockets;
  }

  const burst = (count: number, request: object): Promise<Reply[]> =>
    Promise.all(Array.from({ length: count }, () => broker.post(request)));
  const statuses = (replies: Reply[]): Record<number, number> =>
    replies.reduce<Record<number, number>>(
      (counts, { status }) => ({ ...counts, [status]: (counts[status] ?? 0) + 1 }),
      {},
    );

  describe('requests of a client', () => {
    it('over its limit are answered 429 with Retry-After, while another client is served', async () => {
      broker = await startBroker({ AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '10' });
      let flooding = true as boolean;
      const flood = (async () => {
        const replies: Reply[] = [];
        while (flooding) replies.push(...(await burst(20, statRequest(1))));
        return replies;
      })();
      for (let n = 0; n < 8; n++) expect(await statFrom('127.0.0.2')).to.equal(200);
      flooding = false;
      const replies = await flood;
      expect(Object.keys(statuses(replies))).to.have.members(['200', '429']);
      const refused = replies.find(({ status }) => status === 429)!;
      expect(refused.headers.get('retry-after')).to.equal('1');
      expect(refused.text).to.equal(
        '{"code":429,"status":"Too Many Requests","error":{"reason":"rate_limited","message":"you send more requests a second than a client may (AIZUMI_MAX_CLIENT_REQUESTS_PER_S): nothing was done, try again in 1 s","outcome":"not_done","details":[]}}',
      );
      await until('the client is served again', async () => (await broker.post(statRequest(1))).status === 200);
    });

    it('are counted one by one in a batch, which is accepted whole', async () => {
      broker = await startBroker({ AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '10' });
      const batch = Array.from({ length: 50 }, (_, id) => sendRequest(100, id));
      expect((await broker.post(batch)).status).to.equal(200);
      const { status, headers } = await broker.post(statRequest(100));
      expect(status).to.equal(429);
      // 5 immediately after the reply, then fewer
      expect(Number(headers.get('retry-after'))).to.be.within(1, 5);
    });

    it('are counted by the name of the key; those with an unknown key by IP address', async () => {
      const file = keysFile();
      const [first, second] = ['first', 'second'].map((name) => bearer(file.add(ALL, { name })));
      const rotated = bearer(file.add(ALL, { name: 'first' }));
      try {
        broker = await startBroker({ ...file.env, AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '1' });
        const codes = [];
        for (const headers of [first, rotated, second, bearer('a-guess'), bearer('another')])
          codes.push((await broker.post(statRequest(1), headers)).status);
        expect(codes).to.deep.equal([200, 429, 200, 401, 429]);
      } finally {
        file.delete();
      }
    });

    it('over the limit are refused on GET /queues too, but never on the probes', async () => {
      broker = await startBroker({ AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '2' });
      const codes = await Promise.all([1, 2, 3, 4].map(async () => (await fetch(`${broker.url}queues`)).status));
      expect(codes.sort()).to.deep.equal([200, 200, 429, 429]);
      for (let n = 0; n < 5; n++) expect((await fetch(`${broker.url}readyz`)).status).to.equal(200);
    });

    it('over the limit are answered late, to slow down clients that ignore Retry-After', async () => {
      broker = await startBroker({ AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '1' });
      await broker.post(statRequest(1));
      const startedMs = performance.now();
      expect((await broker.post(statRequest(1))).status).to.equal(429);
      expect(performance.now() - startedMs).to.be.greaterThan(400);
    });
  });

  it('requests of an address over its limit are answered 429, whoever sends them; other addresses are served', async () => {
    broker = await startBroker({ AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: '2' });
    expect(statuses(await burst(20, sendRequest(100, 1)))).to.deep.equal({ 200: 2, 429: 18 });
    const { json } = await broker.post({ ...statRequest(100) });
    expect((json.payload as { queue: { waiting: number } }).queue.waiting, 'what was refused was not done').to.equal(2);
    const batch = [
      ...Array.from({ length: 9 }, () => sendRequest(100, 2)),
      recvRequest(100),
      sendRequest(100, 3, 'x', 2),
    ];
    const { status, json: replies } = await broker.post(batch);
    expect(status).to.equal(207);
    const codes = (replies as unknown as { code: number }[]).map(({ code }) => code);
    expect(codes.slice(-3)).to.deep.equal([429, 200, 200]);
    const refused = await broker.post(sendRequest(100, 4));
    expect(refused.json).to.include({ code: 429, msg_type: 'MSG_SEND_ACK' });
    expect(refused.json.error).to.include({
      reason: 'rate_limited',
      message:
        'the address 1 sends more than 2 requests a second (AIZUMI_MAX_ADDRESS_REQUESTS_PER_S): nothing was done, try again in 1 s',
    });
  });

  it('connections over the limit are answered 503 and closed, and existing ones are kept', async () => {
    broker = await startBroker({ AIZUMI_MAX_CONNECTIONS: '3' });
    // the connection that fetch keeps open since the start counts too
    const first = await connect();
    first.write(STAT);
    expect((await first.reply()).status).to.equal(200);
    const others: (Connection | undefined)[] = [];
    // a connection that is reset at once may fail to connect
    for (let n = 0; n < 150; n++) others.push(await connect().catch(() => undefined));
    const told = others[10]!;
    told.write(STAT);
    const { status, headers, text } = await told.reply();
    expect([status, headers['retry-after'], headers.connection]).to.deep.equal([503, '1', 'close']);
    expect(headers['x-request-id']).to.match(/^[0-9a-f-]{36}$/);
    expect(text).to.equal(
      '{"code":503,"status":"Service Unavailable","error":{"reason":"overloaded","message":"this worker has as many connections as it takes (AIZUMI_MAX_CONNECTIONS is 3): nothing was done, try again","outcome":"not_done","details":[]}}',
    );
    expect(await told.closed()).to.equal('');
    for (const unheard of others.slice(120))
      expect((await unheard?.closed()) ?? '', 'too many even for a reply').to.equal('');
    first.write(STAT);
    expect((await first.reply()).status).to.equal(200);
    for (const connection of others) connection?.destroy();
    await until('a connection is accepted again', async () => {
      const next = await connect().catch(() => undefined);
      next?.write(STAT);
      const reply = await next?.reply().catch(() => undefined);
      next?.destroy();
      return reply?.status === 200;
    });
  });

  describe('memory', () => {
    const LIMIT = { AIZUMI_MAX_BODY_BYTES: '100000', AIZUMI_MAX_BYTES_IN_FLIGHT: '800000' };
    const LARGE = 'x'.repeat(99_000);
    const request = httpRequest(JSON.stringify(sendRequest(100, 1, LARGE)));
    const REASON =
      /"reason":"overloaded","message":"what this worker holds for you is more than it has left for others, of 800000 bytes/;

    it('over a client’s share is refused with 503, with and without a Content-Length, until some is released', async () => {
      broker = await startBroker(LIMIT);
      const slow = await connect();
      slow.write(request.subarray(0, 95_000));
      for (let n = 0; n < 3; n++) await broker.post(statRequest(1)); // by then the worker has read what was sent
      await until('the client’s share is used up', async () => {
        const { status, text } = await broker.post(sendRequest(100, 2, LARGE));
        if (status === 503) expect(text).to.match(REASON);
        return status === 503;
      });
      expect((await broker.post(sendRequest(100, 3, 'small'))).status).to.equal(200);
      const chunked = await connect();
      chunked.write(httpRequest('', { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }));
      chunked.write(`${(95_000).toString(16)}\r\n${'x'.repeat(95_000)}`);
      const { status, text } = await chunked.reply();
      expect(status).to.equal(503);
      expect(text).to.match(REASON);
      slow.write(request.subarray(95_000));
      expect((await slow.reply()).status).to.equal(200);
      // all memory is released again: of served, of refused and of abandoned requests
      for (let n = 0; n < 20; n++) {
        const gone = await connect();
        gone.write(request.subarray(0, 50_000));
        gone.destroy();
      }
      await until(
        'the largest body is accepted again',
        async () => (await broker.post(sendRequest(100, 4, LARGE))).status === 200,
      );
      expect((await broker.post('x'.repeat(1000))).status).to.equal(400);
      expect((await broker.post(Buffer.alloc(90_000, 0xff).toString('latin1'))).status).to.equal(413);
      for (let n = 0; n < 5; n++) expect((await broker.post(sendRequest(100, 4, LARGE))).status).to.equal(200);
    });

    it('for a body in very many chunks depends on its size, not on the number of chunks', async () => {
      broker = await startBroker();
      const text = JSON.stringify(sendRequest(100, 1, 'é'.repeat(100_000)));
      const pieces = [...Buffer.from(text)].map((byte) => Buffer.from([0x31, 0x0d, 0x0a, byte, 0x0d, 0x0a]));
      const before = process.memoryUsage().rss;
      const connection = await connect();
      connection.write(
        Buffer.concat([
          httpRequest('', { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
          ...pieces,
          Buffer.from('0\r\n\r\n'),
        ]),
      );
      expect((await connection.reply(patient(10_000))).status).to.equal(200);
      expect((await broker.post(recvRequest(100))).json.payload).to.equal('é'.repeat(100_000));
      expect(process.memoryUsage().rss - before).to.be.below(1_000_000_000);
    });

    it('is also counted for connections: an IP address with very many gets no more, while others do', async function () {
      if (process.platform !== 'linux') this.skip();
      broker = await startBroker({ AIZUMI_MAX_BODY_BYTES: '100000', AIZUMI_MAX_BYTES_IN_FLIGHT: '1638400' });
      // the memory is enough for 100 connections
      const sockets = crowd(200, '127.0.0.3');
      try {
        await until(
          'connections over its share are reset',
          () => sockets.filter((socket) => socket.closed).length >= 140,
        );
        expect(sockets.filter((socket) => !socket.closed)).to.have.length.within(40, 60);
        expect(await statFrom('127.0.0.2')).to.equal(200);
      } finally {
        for (const socket of sockets) socket.destroy();
      }
      await until('a connection is accepted again', async () => (await statFrom('127.0.0.3').catch(() => 0)) === 200);
    });

    it('used up by one client leaves enough for the requests of others', async () => {
      const keys = keysFile();
      try {
        const greedy = bearer(keys.add(ALL, { name: 'greedy' }));
        const other = bearer(keys.add(ALL, { name: 'other' }));
        broker = await startBroker({ ...LIMIT, ...keys.env });
        const begun = httpRequest(JSON.stringify(sendRequest(100, 1, LARGE)), { headers: greedy }).subarray(0, 30_000);
        const sockets = crowd(30, '127.0.0.3');
        for (const socket of sockets) socket.write(begun);
        await until(
          'the greedy client has used up its share',
          async () => (await broker.post(sendRequest(100, 1, LARGE), greedy)).status === 503,
        );
        for (let n = 0; n < 10; n++) {
          expect(sockets.some((socket) => !socket.closed)).to.equal(true);
          expect((await broker.post(sendRequest(101, n, 'x'.repeat(20_000)), other)).status).to.equal(200);
          expect((await broker.post(recvRequest(101), other)).status).to.equal(200);
        }
      } finally {
        keys.delete();
      }
    });
  });

  describe('pipelined requests', () => {
    const closed = async (request: string, count: number): Promise<string> => {
      broker = await startBroker();
      const connection = await connect();
      connection.write(request.repeat(count));
      return connection.closed(patient(5_000));
    };

    it('without bodies, hundreds at once, are not served: the client is disconnected, and others are served', async () => {
      for (const path of ['/livez', '/readyz', '/openapi.json', '/queues'])
        expect((await closed(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 1_000)).length).to.be.below(200_000);
      expect(await statFrom('127.0.0.2')).to.equal(200);
    });

    it('with bodies, more than a thousand in one packet, disconnect the client', async () => {
      expect(await closed('POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 20_000)).to.be.a('string');
      expect(await statFrom('127.0.0.2')).to.equal(200);
    });

    it('that were counted as one each before their bodies arrived are counted anew if these are batches', async () => {
      broker = await startBroker({ AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '20' });
      const text = JSON.stringify(Array.from({ length: 500 }, (_, id) => sendRequest(100, id)));
      const request = httpRequest(text).toString();
      const head = request.indexOf('{') - 1;
      const connections = await Promise.all(Array.from({ length: 10 }, connect));
      for (const connection of connections) connection.write(request.slice(0, head));
      await until('all are admitted', async () => (await statFrom('127.0.0.2')) === 200);
      for (const connection of connections) connection.write(request.slice(head));
      const replies = await Promise.all(connections.map((connection) => connection.reply(patient(5_000))));
      expect(replies.filter(({ status }) => status === 200)).to.have.length(1);
      expect(replies.filter(({ status }) => status === 429)).to.have.length(9);
    });
  });

  describe('RECVs with wait_ms', () => {
    const wait = (address: number): object => ({ ...recvRequest(address), wait_ms: 15_000 });
    interface Answer {
      code: number;
      error?: { reason: string; outcome: string; message: string };
    }

    for (const [setting, code, where] of [
      ['AIZUMI_MAX_CONNECTION_WAITING_RECVS', 429, 'on this connection'],
      ['AIZUMI_MAX_CLIENT_WAITING_RECVS', 429, 'of this client'],
      ['AIZUMI_MAX_WAITING_RECVS', 503, 'in this worker'],
    ] as const)
      it(`over ${setting} are answered ${code} with its name, until others have ended`, async () => {
        broker = await startBroker({ [setting]: '5' });
        const first = await connect();
        first.write(httpRequest(JSON.stringify(Array.from({ length: 8 }, () => wait(100)))));
        // messages show which of them were accepted as waiters
        await broker.post(Array.from({ length: 8 }, (_, id) => sendRequest(100, id)));
        const answers = JSON.parse((await first.reply()).text) as Answer[];
        const refused = answers.filter((answer) => answer.code !== 200);
        expect(answers.filter((answer) => answer.code === 200)).to.have.length(5);
        for (const { error, ...answer } of refused) {
          expect(answer.code).to.equal(code);
          expect(error?.outcome).to.equal('not_done');
          expect(error?.message).to.include(`5 RECVs wait ${where}, as many as may (${setting})`);
        }
        // waiters of disconnected clients no longer count
        for (let n = 0; n < 3; n++) {
          const gone = await connect();
          gone.write(httpRequest(JSON.stringify(Array.from({ length: 5 }, () => wait(101)))));
          gone.destroy();
        }
        const last = await connect();
        await until('RECVs may wait again', async () => {
          last.write(httpRequest(JSON.stringify(Array.from({ length: 5 }, () => ({ ...wait(102), wait_ms: 20 })))));
          return (JSON.parse((await last.reply()).text) as Answer[]).every((answer) => answer.code === 404);
        });
      });

    it('are read from a connection only as fast as earlier ones on it are answered', async () => {
      broker = await startBroker();
      const many = 2_000;
      const pipelined = await connect();
      const one = httpRequest(JSON.stringify(wait(100)));
      pipelined.write(Buffer.concat(Array.from({ length: many }, () => one)));
      pipelined.write(httpRequest(JSON.stringify(sendRequest(101, 1))));
      for (let n = 0; n < 20; n++) expect((await broker.post(recvRequest(101))).status, 'it is not read').to.equal(404);
      for (let n = 0; n < many; n += 500)
        await broker.post(Array.from({ length: 500 }, (_, id) => sendRequest(100, n + id)));
      for (let id = 0; id < many; id++) expect((await pipelined.reply()).text).to.include(`"id":${id},`);
      expect((await pipelined.reply()).text).to.include('MSG_SEND_ACK');
    });
  });

  it('while the event loop is late, SENDs are answered 503 before they are parsed; a FREE is still done', async () => {
    broker = await startBroker({ AIZUMI_MAX_EVENT_LOOP_DELAY_MS: '40' });
    await broker.post(sendRequest(100, 1));
    await broker.post(recvRequest(100));
    // blocks the event loop of this process, which the broker shares: 60 ms in each turn
    let isBusy = true;
    const work = (): void => {
      const untilMs = performance.now() + 60;
      while (performance.now() < untilMs);
      if (isBusy) setImmediate(work);
    };
    work();
    try {
      const refused = await until(
        'SENDs are refused',
        async () => {
          const reply = await broker.post(sendRequest(100, 2));
          return reply.status === 503 && reply;
        },
        20_000,
      );
      expect(refused.text).to.match(
        /^\{"code":503,"status":"Service Unavailable",("msg_type":"MSG_SEND_ACK",)?"error":\{"reason":"overloaded"/,
      );
      expect(refused.headers.get('retry-after')).to.equal('1');
      expect((await fetch(`${broker.url}livez`)).status).to.equal(200);
      await until('a FREE is done', async () => (await broker.post(freeRequest(100, 1))).status === 200, 20_000);
    } finally {
      isBusy = false;
    }
    await until('SENDs are accepted again', async () => (await broker.post(sendRequest(100, 3))).status === 200);
  });

  it('while Redis owes too many replies, requests are answered 503; then all are served', async () => {
    const redis = await startRedisServer();
    broker = await startBroker({ AIZUMI_REDIS_URL: redis.url, AIZUMI_MAX_UNANSWERED_COMMANDS: '100' });
    redis.pause();
    const waiting: Promise<unknown>[] = [burst(300, statRequest(1))];
    const reasons = new Set<string>();
    // sent without awaiting the replies: within a second the broker gives up the connection, and nothing is owed any more
    await until('requests are refused', () => {
      // a request that was not refused is answered once Redis resumes
      const note = ({ json }: Reply): unknown =>
        reasons.add((json.error as { reason: string } | undefined)?.reason ?? '');
      waiting.push(broker.post(statRequest(1)).then(note));
      return reasons.has('overloaded');
    });
    redis.resume();
    await Promise.all(waiting);
    await until('SENDs are accepted again', async () => (await broker.post(sendRequest(100, 3))).status === 200);
    await redis.stop();
  });
});
