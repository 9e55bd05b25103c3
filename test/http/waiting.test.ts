// RECV with wait_ms, through two workers over one Redis.
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { startBeside, startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { patient } from '../../harness/patience.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { freeRequest, gbyeRequest, heloRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import type { Store } from '../support/store.js';
import { until } from '../../harness/until.js';
import { startWaiter } from '../support/waiters.js';

const LONG_MS = 15_000;

const idOf = ({ json }: Reply): unknown => json.id;
const attemptOf = ({ json }: Reply): unknown => (json.delivery as { attempt: number }).attempt;

describe('http/waiting', () => {
  let broker: TestBroker;
  let other: TestBroker;
  let store: Store;
  let address = 10_000;
  before(async () => {
    broker = await startBroker({ AIZUMI_VISIBILITY_TIMEOUT_MS: '300' });
    other = await startBeside(broker, { AIZUMI_VISIBILITY_TIMEOUT_MS: '300' });
    store = openStore(broker.config);
  });
  after(async () => {
    store.close();
    await Promise.all([broker.stop(), other.stop()]);
  });
  beforeEach(() => {
    address++;
  });

  const wait = (of = address, waitMs = LONG_MS, more: object = {}) => startWaiter(broker, of, waitMs, more);
  /** The number of connections to Redis with this name. */
  const connections = async (name: string): Promise<number> =>
    String(await store.raw.client('LIST')).split(`name=${name} `).length - 1;
  /** Starts a waiter and pauses until its first poll has found nothing, so that no poll is in progress. */
  async function waiting(...arguments_: Parameters<typeof wait>): Promise<ReturnType<typeof wait>> {
    const waiter = wait(...arguments_);
    await pause(50);
    expect(waiter.reply).to.equal(undefined);
    return waiter;
  }

  // must be the first test, before any RECV has waited
  it('opens two connections to Redis for the first waiter, and none after that', async () => {
    const names = ['aizumi-waiting', 'aizumi-changes'];
    const before = await Promise.all(names.map(connections));
    await broker.post(recvRequest(address));
    expect(await Promise.all(names.map(connections))).to.deep.equal(before);
    const waiters = Array.from({ length: 50 }, (_, i) => wait(address + i, 500));
    await Promise.all(waiters.map(({ answered }) => answered));
    expect(await Promise.all(names.map(connections))).to.deep.equal(before.map((n) => n + 1));
    address += 50;
  });

  describe('wait_ms', () => {
    it('does not delay a message that is there', async () => {
      await broker.post(sendRequest(address, 1));
      expect(idOf(await wait().answered)).to.equal(1);
    });

    it('of 0 is the same as none', async () => {
      expect((await wait(address, 0).answered).status).to.equal(404);
    });

    it('ends with the usual 404 when the time is up, and not earlier', async () => {
      const startMs = performance.now();
      const { status, text } = await wait(address, 200).answered;
      expect(performance.now() - startMs).to.be.above(198);
      expect(status).to.equal(404);
      expect(text).to.equal((await broker.post(recvRequest(address))).text);
    });

    for (const bad of [-1, 20_001, 0.5, '1', null, true])
      it(`of ${JSON.stringify(bad)} is a 400 that names it`, async () => {
        const { status, json } = await broker.post({ ...recvRequest(address), wait_ms: bad });
        expect(status).to.equal(400);
        expect((json.error as { details: unknown }).details).to.deep.equal([
          { field: 'wait_ms', message: 'wait_ms must be an integer from 0 to 20000, a JSON number' },
        ]);
      });

    it('is a field of RECV only', async () => {
      expect((await broker.post({ ...heloRequest(address), wait_ms: 1 })).status).to.equal(400);
    });
  });

  describe('a waiter is woken', () => {
    it('by a SEND through the same worker that creates the queue', async () => {
      const waiter = await waiting();
      await broker.post(sendRequest(address, 1));
      expect(idOf(await waiter.answered)).to.equal(1);
    });

    it('by a SEND through another worker that creates the queue', async () => {
      const waiter = await waiting();
      await other.post(sendRequest(address, 1));
      expect(idOf(await waiter.answered)).to.equal(1);
    });

    it('by one SEND after another', async () => {
      for (let id = 1; id <= 5; id++) {
        const waiter = await waiting();
        await other.post(sendRequest(address, id));
        expect(idOf(await waiter.answered)).to.equal(id);
        await broker.post(freeRequest(address, id));
      }
    });

    it('by a SEND with dedup, and by a batch', async () => {
      const waiters = [await waiting(), await waiting()];
      await other.post([{ ...sendRequest(address, 1), dedup: true }, sendRequest(address, 2)]);
      expect(idOf(await waiters[0]!.answered)).to.equal(1);
      expect(idOf(await waiters[1]!.answered)).to.equal(2);
    });

    it('when a lease ends, even that of a RECV through another worker', async () => {
      await other.post(sendRequest(address, 1));
      const taken = await other.post({ ...recvRequest(address), details: true });
      const again = await wait(address, LONG_MS, { details: true }).answered;
      expect([idOf(again), attemptOf(again)]).to.deep.equal([1, 2]);
      const { lease_until_ms } = taken.json.delivery as { lease_until_ms: number };
      const [seconds, micros] = await store.raw.time();
      expect(Number(seconds) * 1000 + Number(micros) / 1000).to.be.at.least(lease_until_ms);
    });

    it('when a lease ends that began during the wait', async () => {
      const waiter = await waiting(address, LONG_MS, { details: true });
      // both are notified of the message; one gets it
      const rival = startWaiter(other, address, LONG_MS, { details: true });
      await pause(50);
      await other.post(sendRequest(address, 1));
      const replies = await Promise.all([waiter.answered, rival.answered]);
      expect(replies.map(idOf)).to.deep.equal([1, 1]);
      expect(replies.map(attemptOf).sort()).to.deep.equal([1, 2]);
    });

    it('when the lease of an earlier waiter ends', async () => {
      const waiters = [await waiting(), await waiting(address, LONG_MS, { details: true })];
      await other.post(sendRequest(address, 1));
      expect(idOf(await waiters[0]!.answered)).to.equal(1);
      const again = await waiters[1]!.answered;
      expect([idOf(again), attemptOf(again)]).to.deep.equal([1, 2]);
    });

    it('like all others, by messages that arrive at the same time', async () => {
      await other.post([heloRequest(address)]);
      const waiters = [await waiting(), await waiting(), await waiting()];
      const queue = store.key(`{${address}}:queue`);
      const all = store.raw.multi();
      for (const id of [1, 2, 3]) all.xadd(queue, '*', 'saddr', 1, 'id', id, 'payload', '""');
      await all.exec();
      expect((await Promise.all(waiters.map(({ answered }) => answered))).map(idOf)).to.deep.equal([1, 2, 3]);
    });

    it('when a delayed message is due', async () => {
      const waiter = await waiting();
      const startMs = performance.now();
      await other.post({ ...sendRequest(address, 1), delay_ms: 200 });
      expect(idOf(await waiter.answered)).to.equal(1);
      expect(performance.now() - startMs).to.be.above(198);
    });

    it('when a message is returned by GBYE or BACK', async () => {
      const slow = { ...recvRequest(address), visibility_timeout_ms: 60_000 };
      await other.post(sendRequest(address, 1));
      expect((await other.post(slow)).status).to.equal(200);
      const first = await waiting(address, LONG_MS, { visibility_timeout_ms: 60_000 });
      await other.post(gbyeRequest(address));
      expect(idOf(await first.answered)).to.equal(1);
      const second = await waiting();
      await other.post({ msg_type: 'MSG_BACK_REQ', saddr: address, daddr: 5000, id: 1 });
      expect(idOf(await second.answered)).to.equal(1);
    });

    it('as soon as there is one message, with as many as there are, up to max', async () => {
      const waiter = await waiting(address, LONG_MS, { max: 10 });
      await other.post([sendRequest(address, 1), sendRequest(address, 2)]);
      const { json } = await waiter.answered;
      const [first] = json.messages as { id: number }[];
      expect(first!.id).to.equal(1);
    });

    it('among many others, each at its own address', async () => {
      const addresses = Array.from({ length: 300 }, () => ++address);
      const waiters = await Promise.all(addresses.map((of) => waiting(of)));
      await Promise.all(addresses.map((of) => other.post(sendRequest(of, of))));
      const replies = await Promise.all(waiters.map(({ answered }) => answered));
      expect(replies.map(idOf)).to.deep.equal(addresses);
    });
  });

  describe('the waiter that came first', () => {
    it('is served first', async () => {
      const waiters = [];
      for (let i = 0; i < 5; i++) waiters.push(await waiting());
      for (let id = 1; id <= 5; id++) await other.post(sendRequest(address, id));
      const replies = await Promise.all(waiters.map(({ answered }) => answered));
      expect(replies.map(idOf)).to.deep.equal([1, 2, 3, 4, 5]);
    });

    it('is served before a RECV that does not wait', async () => {
      for (let round = 0; round < 20; round++) {
        address++;
        const waiter = await waiting();
        // the worker may not have been notified of the message yet when the RECV arrives
        await store.raw.xgroup('CREATE', store.key(`{${address}}:queue`), 'receivers', '0', 'MKSTREAM');
        const [, plain] = await Promise.all([
          store.raw.xadd(store.key(`{${address}}:queue`), '*', 'saddr', 1, 'id', 7, 'payload', '""'),
          broker.post(recvRequest(address)),
        ]);
        expect(plain.status).to.equal(404);
        expect(idOf(await waiter.answered)).to.equal(7);
      }
    });

    it('is skipped when its time is up', async () => {
      const short = wait(address, 100);
      const long = wait();
      expect((await short.answered).status).to.equal(404);
      await other.post(sendRequest(address, 1));
      expect(idOf(await long.answered)).to.equal(1);
    });

    it('leaves the remaining messages to other RECVs', async () => {
      const waiter = await waiting();
      await other.post([sendRequest(address, 1), sendRequest(address, 2)]);
      expect(idOf(await broker.post(recvRequest(address)))).to.equal(2);
      expect(idOf(await waiter.answered)).to.equal(1);
    });
  });

  describe('a client that disconnects', () => {
    const request = (): Buffer =>
      httpRequest(JSON.stringify({ ...recvRequest(address), wait_ms: LONG_MS, visibility_timeout_ms: 60_000 }));

    const held = (): Promise<number> => store.raw.zcard(store.key(`{${address}}:held`));
    const patient = (): Promise<Reply> =>
      wait(address, LONG_MS, { details: true, visibility_timeout_ms: 60_000 }).answered;

    for (const how of ['end', 'destroy', 'reset'] as const)
      it(`is no longer a waiter (${how})`, async () => {
        const connection = await openConnection(broker.url);
        connection.write(request());
        await pause(50);
        const next = wait(address, LONG_MS, { details: true });
        connection[how]();
        await pause(50);
        await other.post(sendRequest(address, 1));
        expect(attemptOf(await next.answered)).to.equal(1);
      });

    it('gets nothing: a message taken for it is returned at once, and does not count as delivered', async () => {
      const connection = await openConnection(broker.url);
      connection.write(request());
      await pause(50);
      await broker.post(heloRequest(address));
      // the worker is notified of the message, polls, and gets the message after the client has disconnected
      await store.raw
        .pipeline()
        .xadd(store.key(`{${address}}:queue`), '*', 'saddr', 1, 'id', 7, 'payload', '""')
        .client('PAUSE', 200)
        .exec();
      await pause(20);
      connection.destroy();
      const reply = await wait(address, LONG_MS, { details: true }).answered;
      expect([idOf(reply), attemptOf(reply)]).to.deep.equal([7, 1]);
    });

    it('gets nothing of a batch either: its messages are returned', async () => {
      const connection = await openConnection(broker.url);
      await broker.post(sendRequest(address, 1));
      const nobody = { ...recvRequest(address + 1), wait_ms: LONG_MS };
      connection.write(
        httpRequest(JSON.stringify([{ ...recvRequest(address), visibility_timeout_ms: 60_000 }, nobody])),
      );
      await until('the message is taken', async () => (await store.raw.zcard(store.key(`{${address}}:held`))) === 1);
      connection.destroy();
      const reply = await wait(address, LONG_MS, { details: true }).answered;
      expect([idOf(reply), attemptOf(reply)]).to.deep.equal([1, 1]);
    });

    // messages are taken for the later requests of a connection while the first one waits
    for (const how of ['end', 'destroy', 'reset'] as const)
      it(`gets nothing for requests pipelined behind a waiting RECV: their messages are returned (${how})`, async () => {
        for (const id of [1, 2, 3]) await broker.post(sendRequest(address, id));
        const connection = await openConnection(broker.url);
        const take = { ...recvRequest(address), visibility_timeout_ms: 60_000 };
        for (const body of [
          { ...recvRequest(address + 1), wait_ms: LONG_MS },
          take,
          [take, { ...take, attempt_id: 'a' }],
          heloRequest(address),
        ])
          connection.write(httpRequest(JSON.stringify(body)));
        await until('all messages are taken', async () => (await held()) === 3);
        connection[how]();
        const replies = [await patient(), await patient(), await patient()];
        expect(replies.map((reply) => [idOf(reply), attemptOf(reply)])).to.deep.equal([
          [1, 1],
          [2, 1],
          [3, 1],
        ]);
        address++;
      });

    it('keeps messages whose reply was already written, and no later ones', async () => {
      for (const id of [1, 2]) await broker.post(sendRequest(address, id));
      const connection = await openConnection(broker.url);
      const take = { ...recvRequest(address), visibility_timeout_ms: 60_000, attempt_id: 'a' };
      connection.write(httpRequest(JSON.stringify(take)));
      expect((await connection.reply()).text).to.contain('"id":1');
      connection.write(httpRequest(JSON.stringify({ ...recvRequest(address + 1), wait_ms: LONG_MS })));
      connection.write(httpRequest(JSON.stringify({ ...take, attempt_id: 'b' })));
      await until('both messages are taken', async () => (await held()) === 2);
      connection.destroy();
      expect([idOf(await patient()), await held()]).to.deep.equal([2, 2]);
      const again = await other.post({ ...take, details: true });
      expect([idOf(again), attemptOf(again)]).to.deep.equal([1, 1]);
      address++;
    });

    describe('from a worker that then stops', () => {
      let left: TestBroker;
      beforeEach(async () => {
        left = await startBeside(broker);
      });
      afterEach(() => left.stop());

      it('keeps messages whose reply was written, even after an earlier one that waited', async () => {
        for (const id of [1, 2, 3]) await broker.post(sendRequest(address, id));
        const connection = await openConnection(left.url);
        const take = { ...recvRequest(address), visibility_timeout_ms: 60_000 };
        connection.write(httpRequest(JSON.stringify({ ...recvRequest(address + 1), wait_ms: 100 })));
        for (let i = 0; i < 3; i++) connection.write(httpRequest(JSON.stringify(take)));
        expect((await connection.reply()).status).to.equal(404);
        for (const id of [1, 2, 3]) expect((await connection.reply()).text).to.contain(`"id":${id}`);
        connection.destroy();
        await left.stop();
        expect([await held(), (await other.post(recvRequest(address))).status]).to.deep.equal([3, 404]);
        address++;
      });

      it('keeps a message that it received by repeating its RECV through another worker', async () => {
        await broker.post(sendRequest(address, 11));
        const leaves = await openConnection(left.url);
        const take = { ...recvRequest(address), visibility_timeout_ms: 60_000, details: true };
        const asked = { ...take, attempt_id: 'A' };
        leaves.write(httpRequest(JSON.stringify([asked, { ...recvRequest(address + 1), wait_ms: LONG_MS }])));
        await until('the message is taken', async () => (await held()) === 1);
        const { json } = await other.post(asked);
        expect(json.id).to.equal(11);
        leaves.destroy();
        await left.stop();
        expect((await broker.post(take)).status).to.equal(404);
        expect((await other.post(asked)).json.delivery).to.deep.equal(json.delivery);
        const { receipt } = json.delivery as { receipt: string };
        expect((await broker.post({ ...freeRequest(address, 11), receipt })).status).to.equal(200);
        address++;
      });

      it('keeps a message that it received by repeating its RECV at once, at whatever moment of the return', async function () {
        this.timeout(60_000);
        const told: { address: number; receipt: string }[] = [];
        for (let round = 0; round < 120; round++) {
          address++;
          await broker.post(sendRequest(address, 11));
          const take = { ...recvRequest(address), visibility_timeout_ms: 60_000, details: true, attempt_id: 'A' };
          const leaves = await openConnection(left.url);
          leaves.write(httpRequest(JSON.stringify(take)));
          // disconnects a little later in each of 40 rounds, over and over
          const untilMs = performance.now() + (round % 40) / 10;
          while (performance.now() < untilMs) await turn();
          leaves.reset();
          const { json } = await (round % 2 === 0 ? left : other).post(take);
          expect(json.id, `round ${round}`).to.equal(11);
          told.push({ address, receipt: (json.delivery as { receipt: string }).receipt });
        }
        await left.stop();
        for (const [round, { address: of, receipt }] of told.entries()) {
          expect((await other.post(recvRequest(of))).status, `round ${round}: a second holder`).to.equal(404);
          const freed = await other.post({ ...freeRequest(of, 11), receipt });
          expect(freed.status, `round ${round}: ${freed.text}`).to.equal(200);
        }
      });
    });

    it('on its own side only (half-close) still gets the reply to a RECV without wait_ms', async () => {
      await broker.post(sendRequest(address, 1));
      const connection = await openConnection(broker.url);
      connection.write(httpRequest(JSON.stringify(recvRequest(address))));
      connection.end();
      expect((await connection.reply()).status).to.equal(200);
    });

    it('leaves no event listeners behind, even after many waits on its connection', async () => {
      const warnings: Error[] = [];
      const onWarning = (warning: Error): void => void warnings.push(warning);
      process.on('warning', onWarning);
      const connection = await openConnection(broker.url);
      for (let i = 0; i < 15; i++) {
        connection.write(httpRequest(JSON.stringify(Array(20).fill({ ...recvRequest(address), wait_ms: 5 }))));
        expect((await connection.reply()).status).to.equal(207);
      }
      connection.destroy();
      process.off('warning', onWarning);
      expect(warnings).to.deep.equal([]);
    });
  });

  describe('in a batch', () => {
    it('a wait delays the reply to the batch, but none of its other requests', async () => {
      const answered = broker.post([sendRequest(address + 1, 2), { ...recvRequest(address), wait_ms: LONG_MS }]);
      expect(idOf(await wait(address + 1).answered)).to.equal(2);
      await other.post(sendRequest(address, 1));
      const { status, text } = await answered;
      expect(status).to.equal(200);
      expect((JSON.parse(text) as { id?: number }[])[1]!.id).to.equal(1);
      address++;
    });
  });

  describe('a worker that stops', () => {
    it('answers its waiters at once, and closes their connections', async () => {
      const stopping = await startBroker();
      const connection = await openConnection(stopping.url);
      connection.write(httpRequest(JSON.stringify({ ...recvRequest(address), wait_ms: LONG_MS })));
      const waiters = Array.from({ length: 20 }, (_, i) => startWaiter(stopping, address + (i % 3), LONG_MS));
      await pause(patient(50)); // by then all of them wait
      const startMs = performance.now();
      const stopped = stopping.stop();
      const reply = await connection.reply();
      expect([reply.status, reply.headers.connection]).to.deep.equal([404, 'close']);
      const replies = await Promise.all(waiters.map(({ answered }) => answered));
      expect(replies.map(({ status }) => status)).to.deep.equal(Array(20).fill(404));
      await stopped;
      expect(performance.now() - startMs).to.be.below(8_500);
      address += 3;
    });
  });
});
