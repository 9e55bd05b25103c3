// npm run load on a real broker: it reports no fault for a correct broker, and detects lost, duplicated and changed messages.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { randomAddress } from '../../load/deployment.js';
import { parseCommand } from '../../load/options.js';
import type { Command } from '../../load/options.js';
import { runVariant } from '../../load/run.js';
import type { Result } from '../../load/run.js';
import type { LoadOptions } from '../../load/scenario.js';
import { SCENARIOS } from '../../load/scenarios.js';
import { faults } from '../../load/table.js';
import { total } from '../../load/tally.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { freePort } from '../../harness/redis-server.js';
import { sendRequest, statRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import { startProxy } from '../support/tampering-proxy.js';
import type { Answered, Tamper } from '../support/tampering-proxy.js';
import { until } from '../../harness/until.js';

interface Ended {
  code: number | null;
  output: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HEADERS = { 'Content-Type': 'application/json' };
const SHORT: LoadOptions = { connections: 6, durationS: 0.4, timeoutS: 2, waiting: 500, keep: false };
/** A tampering proxy tampers with the first request of a type, and then with each of this many. */
const EVERY = 10;

function load(args: string[], onStart?: (child: ReturnType<typeof spawn>) => void): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'load/index.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, AIZUMI_LOAD_API_KEY: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
  onStart?.(child);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

describe('npm run load', function () {
  this.timeout(120_000);
  let broker: TestBroker;
  let all: Promise<Ended>;

  before(async () => {
    broker = await startBroker();
    // in parallel to the other tests, since it takes as long as all of them
    all = load(['--url', broker.url, ...'--scenario all --duration 1 --connections 4 --waiting 2000'.split(' ')]);
  });
  after(() => broker.stop());

  /** A run through a proxy. @returns the faults and the counts that it reports */
  async function runThrough(tamper: Tamper, scenario = 'cycle', options: Partial<LoadOptions> = {}): Promise<Result> {
    const proxy = await startProxy(broker.url, tamper);
    const found = SCENARIOS.find(({ name }) => name === scenario)!;
    const chosen = { ...SHORT, ...options };
    try {
      return await runVariant({ url: proxy.url, headers: HEADERS }, found, found.variants(chosen)[0]!, chosen);
    } finally {
      proxy.stop();
    }
  }

  /** Forwards everything except the first request of a type and then each {@link EVERY}th. */
  function tampering(type: string, tamper: Tamper): Tamper {
    let n = 0;
    return (request, forward, headers) =>
      request.msg_type === type && n++ % EVERY === 0 ? tamper(request, forward, headers) : forward(request);
  }

  const answer = (status: number, json: object): Answered => ({
    status,
    text: JSON.stringify({ code: status, ...json }),
  });
  const ack = (name: string): Answered => answer(200, { status: 'OK', msg_type: name });
  const failure = (status: number, error: object): Answered =>
    answer(status, { status: 'Bad', msg_type: 'MSG_SEND_ACK', error: { message: '', details: [], ...error } });
  const changed = (text: string): string => text.replace(/"payload":"\d/, '"payload":"x');

  describe('detects a broker that', () => {
    const broken: [string, Tamper, string][] = [
      ['loses messages', tampering('MSG_SEND_REQ', () => ack('MSG_SEND_ACK')), 'were lost'],
      [
        'duplicates messages',
        tampering('MSG_SEND_REQ', async (request, forward) => (await forward(request), forward(request))),
        'were delivered twice',
      ],
      [
        'changes messages before storing them',
        tampering('MSG_SEND_REQ', (request, forward) => forward({ ...request, payload: 'another' })),
        'were changed',
      ],
      [
        'changes messages while delivering them',
        tampering('MSG_RECV_REQ', async (request, forward) => {
          const { status, text } = await forward(request);
          return { status, text: changed(text) };
        }),
        'were changed',
      ],
      [
        'does not free what it says it has freed',
        tampering('MSG_FREE_REQ', () => ack('MSG_FREE_ACK')),
        'were delivered twice',
      ],
      [
        'frees messages too early',
        tampering('MSG_RECV_REQ', async (request, forward) => {
          const { status, text } = await forward(request);
          const { saddr } = request;
          if (status === 200) await forward({ ...request, msg_type: 'MSG_FREE_REQ', saddr, id: JSON.parse(text).id });
          return { status, text };
        }),
        'not_delivered',
      ],
      [
        'stores messages that it has refused',
        tampering('MSG_SEND_REQ', async (request, forward) => {
          await forward(request);
          return failure(503, { reason: 'unavailable', outcome: 'not_done' });
        }),
        'were delivered that were never sent',
      ],
      [
        'violates the protocol in its replies',
        tampering('MSG_SEND_REQ', async (request, forward) => {
          await forward(request);
          return answer(200, { msg_type: 'MSG_SEND_ACK' });
        }),
        'a reply 200 with',
      ],
      ['fails', tampering('MSG_SEND_REQ', () => failure(500, { reason: 'internal' })), '500 internal'],
    ];
    for (const [what, tamper, fault] of broken)
      it(what, async () => {
        expect(faults(await runThrough(tamper)).join('\n')).to.include(fault);
      });

    it('leases a message twice at once', async () => {
      let last: Answered | undefined;
      const tamper = tampering('MSG_RECV_REQ', (request, forward) => last ?? forward(request));
      const remembering: Tamper = async (request, forward, headers) => {
        const given = await tamper(request, forward, headers);
        if (request.msg_type === 'MSG_RECV_REQ' && given?.status === 200) last = given;
        return given;
      };
      expect(faults(await runThrough(remembering)).join('\n')).to.match(/were delivered twice|were changed/);
    });

    it('loses messages between a run with --keep and the next run', async () => {
      const tamper = tampering('MSG_SEND_REQ', () => ack('MSG_SEND_ACK'));
      const result = await runThrough(tamper, 'send', { keep: true });
      expect(faults(result).join('\n')).to.include('were lost');
      expect(result.verdict.left).to.be.above(0);
      expect((await statOf(result.firstAddress)).settings).to.deep.equal({});
      await drop(result);
    });
  });

  describe('counts, without reporting it as a fault,', () => {
    it('broken connections with their lost replies', async () => {
      const cut: Tamper = async (request, forward) => (await forward(request), undefined);
      for (const type of ['MSG_SEND_REQ', 'MSG_RECV_REQ', 'MSG_FREE_REQ']) {
        const result = await runThrough(tampering(type, cut), 'cycle', { durationS: 0.6 });
        expect(faults(result), type).to.deep.equal([]);
        const row = result.tally.rows.get(type.slice(4, 8))!;
        expect([...row.failures.keys()], type).to.satisfy((reasons: string[]) =>
          reasons.every((reason) => /connection closed|ECONNRESET/.test(reason)),
        );
        expect(total(row.failures), type).to.be.above(0);
        if (type === 'MSG_SEND_REQ') expect(result.verdict.arrived).to.equal(result.verdict.unknown).and.above(0);
      }
    });

    it('truncated replies', async () => {
      const half: Tamper = async (request, forward) => ({ ...(await forward(request)), cutAfter: 20 });
      const result = await runThrough(tampering('MSG_RECV_REQ', half));
      expect(faults(result)).to.deep.equal([]);
      expect(total(result.tally.rows.get('RECV')!.failures)).to.be.above(0);
    });

    it('missing replies', async () => {
      const silent: Tamper = async (request, forward) => {
        await forward(request);
        return new Promise<undefined>(() => undefined);
      };
      const result = await runThrough(tampering('MSG_SEND_REQ', silent), 'send', { durationS: 2.5, timeoutS: 1 });
      expect(faults(result)).to.deep.equal([]);
      expect(result.tally.rows.get('SEND')!.failures.get('no answer within 1 s')).to.be.above(0);
    });

    it('refusals, by their reasons', async () => {
      let n = 0;
      const refuse: Tamper = () =>
        n++ % 2 ? failure(429, { reason: 'queue_full' }) : failure(503, { reason: 'unavailable', outcome: 'not_done' });
      const result = await runThrough(tampering('MSG_SEND_REQ', refuse), 'send');
      expect(faults(result)).to.deep.equal([]);
      const { failures, requests } = result.tally.rows.get('SEND')!;
      expect([...failures.keys()].sort()).to.deep.equal(['queue_full', 'unavailable']);
      expect(result.verdict.sent).to.equal(requests - total(failures));
    });

    it('RECVs from an empty queue', async () => {
      const result = await runThrough((request, forward) => forward(request), 'mixed', { connections: 3 });
      expect(faults(result)).to.deep.equal([]);
      expect(result.tally.rows.get('RECV')!.empty).to.be.above(0);
      expect(total(result.tally.all.failures)).to.equal(0);
    });

    it('a durability level that is not available', async () => {
      const tamper: Tamper = async (request, forward) =>
        request.durability ? failure(503, { reason: 'not_durable', outcome: 'unknown' }) : forward(request);
      const result = await runThrough(tamper, 'durability');
      expect(result.notRun).to.include('cannot give primary').and.include('not_durable');
      expect(faults(result)).to.deep.equal([]);
    });
  });

  it('keeps to a rate', async () => {
    const result = await runThrough((request, forward) => forward(request), 'send', { rate: 50, durationS: 1 });
    // requests that still waited for their turn at the end may add one for each connection
    expect(result.tally.all.requests).to.be.within(20, 51 + SHORT.connections);
  });

  it('verifies the messages of its warm-up, but does not measure it', async () => {
    let sends = 0;
    const failFirst: Tamper = (request, forward) =>
      request.msg_type === 'MSG_SEND_REQ' && sends++ === 0 ? failure(500, { reason: 'internal' }) : forward(request);
    const result = await runThrough(failFirst, 'send', { rate: 100, warmUpS: 1, durationS: 0.5 });
    expect(faults(result).join('\n')).to.include('500 internal');
    const counted = result.tally.all.requests;
    expect(counted).to.be.above(0);
    expect(sends - counted).to.be.above(20);
  });

  it('sends the API key', async () => {
    const seen = new Set<unknown>();
    const proxy = await startProxy(broker.url, (request, forward, { authorization }) => {
      seen.add(authorization);
      return forward(request);
    });
    const args = ['--url', proxy.url, '--scenario', 'cycle'];
    for (const command of [
      parseCommand([...args, '--api-key', 'secret'], {}),
      parseCommand(args, { AIZUMI_LOAD_API_KEY: 'secret' }),
    ]) {
      const { deployment, scenarios } = command as Command;
      await runVariant(deployment, scenarios[0]!, scenarios[0]!.variants(SHORT)[0]!, SHORT);
    }
    proxy.stop();
    expect([...seen]).to.deep.equal(['Bearer secret']);
  });

  it('does not touch a queue that another user has filled', async () => {
    const firstAddress = randomAddress();
    const taken = firstAddress + 7;
    await broker.post(sendRequest(taken, 1));
    const error = await runThrough((request, forward) => forward(request), 'cycle', { firstAddress }).catch(String);
    expect(error).to.include(`address ${taken} already has a queue`);
    expect(await statOf(taken)).to.deep.include({ waiting: 1, settings: {} });
    await broker.post({ msg_type: 23, saddr: taken, daddr: 5000, state: 'waiting' });
    await broker.post({ msg_type: 13, saddr: taken, daddr: 5000 });
  });

  it('exits with 1 if it has found a fault, and names it', async () => {
    const lossy = tampering('MSG_SEND_REQ', () => ack('MSG_SEND_ACK'));
    const proxy = await startProxy(broker.url, lossy);
    const args = '--scenario cycle --duration 1 --connections 4 --json'.split(' ');
    const { code, output } = await load(['--url', proxy.url, ...args]);
    proxy.stop();
    expect(code, output).to.equal(1);
    const [{ ledger, faults: found }] = JSON.parse(
      output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1),
    ).results;
    expect(ledger.lost).to.be.above(0);
    expect(found[0]).to.include('were lost');
  });

  it('reports what to do if there is no broker', async () => {
    const stranger = createServer((_, response) => response.end('hello'));
    await once(stranger.listen(0, '127.0.0.1'), 'listening');
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const somebody = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
    const cases: [string[], string][] = [
      [['--scenario', 'cycle'], 'start one (npm start), then name it'],
      [['--scenario', 'cycle', '--url', nobody], `${nobody} does not answer (ECONNREFUSED)`],
      [['--scenario', 'cycle', '--url', somebody], 'is not aizumi'],
      [['--scenario', 'cycel', '--url', nobody], '--scenario is all, or one of send, receive'],
      [['--scenario', 'cycle', '--url', nobody, '--connections', 'many'], '--connections many must be a whole number'],
    ];
    const ended = await Promise.all(cases.map(([args]) => load(args)));
    stranger.close();
    for (const [i, [, text]] of cases.entries()) {
      expect(ended[i]!.output).to.include(text);
      expect(ended[i]!.code, text).to.equal(2);
    }
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const first = randomAddress();
    const args = ['--url', broker.url, ...`--scenario send --duration 60 --first-address ${first}`.split(' ')];
    const { code, output } = await load(args, (child) => {
      void until('it is sending', async () => (await statOf(first))?.waiting > 0, 20_000).then(() =>
        child.kill('SIGINT'),
      );
    });
    expect(code, output).to.equal(130);
    expect(output).to.include('lost 0, doubled 0');
    expect(await statOf(first)).to.equal(null);
  });

  it('runs every scenario successfully, and leaves nothing behind', async () => {
    const { code, output } = await all;
    expect(code, output).to.equal(0);
    for (const { name } of SCENARIOS) expect(output).to.match(new RegExp(`^${name}[,:]`, 'm'));
    expect(output.match(/^ledger: .* lost 0, doubled 0, changed 0$/gm)).to.have.length(17);
    const store = openStore(broker.config);
    expect(await store.keys()).to.deep.equal([]);
    store.close();
  });

  const statOf = async (address: number): Promise<any> =>
    ((await broker.post(statRequest(address))).json.payload as any).queue;

  async function drop({ firstAddress }: Result): Promise<void> {
    const each = (request: object): Promise<unknown> =>
      broker.post(Array.from({ length: 100 }, (_, i) => ({ ...request, saddr: firstAddress + i, daddr: 5000 })));
    await each({ msg_type: 23, state: 'waiting' });
    await each({ msg_type: 13 });
  }
});
