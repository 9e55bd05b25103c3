// All kinds of delivery at once, on two workers: batches, delays, waiting receivers, short leases that are extended, returned or
// left to end. No message is lost, delivered after it was freed or too early, and none is leased twice at once.
import { expect } from 'chai';
import { setTimeout as pause } from 'node:timers/promises';
import { seeded } from '../../harness/random.js';
import { openClient } from '../../harness/keep-alive-client.js';
import type { KeepAliveClient } from '../../harness/keep-alive-client.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

const seed = Number(process.env.AIZUMI_TEST_SEED ?? Date.now() % 1e9);
const QUEUES = [100, 101, 102];
const SENDERS = 4;
const BATCHES = 25;
const RECEIVERS_PER_QUEUE = 4;
/** Receivers of queues that stay empty. */
const IDLE = 200;
/** The times of a delivery are whole milliseconds of Redis's clock. */
const TOLERANCE_MS = 2;

interface Delivery {
  id: number;
  /** By Redis's clock, in ms since 1970. */
  sentMs: number;
  deliveredMs: number;
  /** When the lease ends or was ended, as far as the receiver knows: no other receiver may get the message earlier. */
  leasedUntilMs: number;
}

describe(`delivery under load (AIZUMI_TEST_SEED=${seed})`, function () {
  this.timeout(60_000);
  const clients: KeepAliveClient[] = [];
  after(() => {
    for (const client of clients) client.close();
    endAllProcesses();
  });

  it('loses no message, delivers none too early, and leases none twice at once', async () => {
    const { url } = await sharedRedis();
    const env = { AIZUMI_REDIS_URL: url, AIZUMI_KEY_PREFIX: `load${seed}`, AIZUMI_MAX_DELIVERIES: '1000' };
    const brokers = [await startBrokerProcess(env), await startBrokerProcess(env)];
    const random = seeded(seed);
    const connect = (): ((request: object) => Promise<{ status: number; json: any }>) => {
      const client = openClient(brokers[clients.length % 2]!.url);
      clients.push(client);
      return async (request) => {
        const outcome = await client.post(request);
        if (outcome.kind !== 'replied') throw new Error(`${outcome.kind}: ${JSON.stringify(request)}`);
        return outcome;
      };
    };

    const delays = new Map<number, number>();
    const acknowledged = new Set<number>();
    const deliveries: Delivery[] = [];
    const freed = new Map<number, number>();
    let nextId = 1;
    let sending = SENDERS;

    async function send(): Promise<void> {
      const post = connect();
      for (let n = 0; n < BATCHES; n++) {
        const requests = Array.from({ length: random.between(1, 20) }, () => {
          const id = nextId++;
          const delay_ms = random.next() < 0.3 ? random.between(1, 600) : 0;
          delays.set(id, delay_ms);
          return { ...sendRequest(random.pick(QUEUES), id), delay_ms };
        });
        const { status, json } = await post(requests);
        expect(status, JSON.stringify(json)).to.equal(200);
        (requests as unknown as { id: number }[]).forEach(({ id }) => acknowledged.add(id));
        await pause(random.between(0, 40));
      }
      sending -= 1;
    }

    async function receive(queue: number): Promise<void> {
      const post = connect();
      const isEmpty = async (): Promise<boolean> => {
        const { json } = await post(statRequest(queue));
        const { waiting, leased, delayed } = json.payload.queue as Record<'waiting' | 'leased' | 'delayed', number>;
        return waiting + leased + delayed === 0;
      };
      for (;;) {
        const lease = random.between(200, 500);
        const { status, json } = await post({
          ...recvRequest(queue),
          wait_ms: random.between(0, 400),
          max: random.between(1, 8),
          visibility_timeout_ms: lease,
          details: true,
        });
        if (status === 404 && sending === 0 && (await isEmpty())) return;
        if (status === 404) continue;
        expect(status, JSON.stringify(json)).to.equal(200);
        for (const { id, delivery } of json.messages) {
          const { receipt, sent_at_ms: sentMs, lease_until_ms: leasedUntilMs } = delivery;
          const mine = { id, sentMs, deliveredMs: leasedUntilMs - lease, leasedUntilMs };
          deliveries.push(mine);
          await deal(post, queue, mine, receipt);
        }
      }
    }

    /** Frees most messages, some after extending the lease, returns some, and lets the lease of a few end. */
    async function deal(
      post: ReturnType<typeof connect>,
      queue: number,
      mine: Delivery,
      receipt: string,
    ): Promise<void> {
      const chance = random.next();
      const held = { ...freeRequest(queue, mine.id), receipt };
      if (chance < 0.05) return;
      if (chance < 0.1) await pause(100); // so that some leases of a batch end before their message is handled
      if (chance < 0.2) {
        const delay_ms = random.between(0, 200);
        const askedMs = Date.now();
        const back = await post({ ...held, msg_type: 'MSG_BACK_REQ', delay_ms });
        if (back.status === 200) mine.leasedUntilMs = askedMs + delay_ms;
        else expect(back.json.error.reason).to.equal('lease_lost');
        return;
      }
      if (chance < 0.3) {
        const askedMs = Date.now();
        const kept = await post({ ...held, msg_type: 'MSG_KEEP_REQ', visibility_timeout_ms: 600 });
        if (kept.status === 200) mine.leasedUntilMs = askedMs + 600;
        else expect(kept.json.error.reason).to.equal('lease_lost');
      }
      const { status, json } = await post(held);
      if (status === 200) freed.set(mine.id, (freed.get(mine.id) ?? 0) + 1);
      else expect(json.error.reason).to.equal('lease_lost');
    }

    const idle = Array.from({ length: IDLE }, (_, i) =>
      connect()({ ...recvRequest(1_000 + i), wait_ms: 20_000 }).catch(() => undefined),
    );
    await Promise.all([
      ...Array.from({ length: SENDERS }, send),
      ...QUEUES.flatMap((queue) => Array.from({ length: RECEIVERS_PER_QUEUE }, () => receive(queue))),
    ]);
    await until('the queues are empty', async () => {
      const stats = await Promise.all(QUEUES.map((queue) => connect()(statRequest(queue))));
      return stats.every(({ json }) => json.payload.queue.leased === 0);
    });
    for (const client of clients) client.close();
    await Promise.all(idle);

    const delivered = new Set(deliveries.map(({ id }) => id));
    expect(
      [...acknowledged].filter((id) => !delivered.has(id)),
      'lost',
    ).to.deep.equal([]);
    expect(
      [...acknowledged].filter((id) => freed.get(id) !== 1),
      'freed not at all, or twice',
    ).to.deep.equal([]);
    const early = deliveries.filter(({ id, sentMs, deliveredMs }) => deliveredMs < sentMs + delays.get(id)!);
    expect(early, 'delivered before they were due').to.deep.equal([]);
    const byTime = deliveries.toSorted((a, b) => a.deliveredMs - b.deliveredMs);
    const twoLeases = byTime.filter((later, i) => {
      const before = byTime.slice(0, i).findLast(({ id }) => id === later.id);
      return before && later.deliveredMs < before.leasedUntilMs - TOLERANCE_MS;
    });
    expect(twoLeases, 'delivered while the lease before was alive').to.deep.equal([]);
    expect(deliveries.length, 'some came more than once').to.be.above(acknowledged.size);
  });
});
