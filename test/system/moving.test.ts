// Moving from Sentinels to a Cluster with the command in docs/operations.md.
import { expect } from 'chai';
import { startBroker, startBeside } from '../../harness/broker.js';
import { runBlock } from '../support/documents.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { startClusterStack, startSentinelStack } from '../../harness/stacks.js';
import type { Stack } from '../../harness/stacks.js';
import { until } from '../../harness/until.js';

const QUEUES = 10;
const LAST = 100;
const LEASE_MS = 2_000;

describe('moving from Sentinels to a Cluster', function () {
  this.timeout(90_000);
  const stacks: Stack[] = [];
  before(async () => {
    stacks.push(...(await Promise.all([startSentinelStack(), startClusterStack()])));
  });
  after(() => Promise.all(stacks.map((stack) => stack.stop())));

  it('keeps every message in order, including leased ones and deduplication', async () => {
    const [old, target] = stacks as [Stack, Stack];
    const settings = { AIZUMI_VISIBILITY_TIMEOUT_MS: String(LEASE_MS) };
    const before = await startBroker({ ...settings, AIZUMI_REDIS_URL: old.url });
    const send = (id: number, queue: number): object => ({ ...sendRequest(queue, id), dedup: true });
    for (let queue = 1; queue <= QUEUES; queue++)
      for (const id of [1, 2, 3]) expect((await before.post(send(id, queue))).status).to.equal(200);
    for (let queue = 1; queue <= QUEUES; queue++) expect((await before.post(recvRequest(queue))).json.id).to.equal(1);
    // leased last, and alone in its queue: when it is redelivered, all leases have ended
    await before.post(send(1, LAST));
    expect((await before.post(recvRequest(LAST))).json.id).to.equal(1);
    await before.stop();

    const [primary, node] = [await old.primary(), target.nodes[0]!];
    const replace = { 'PRIMARY:6379': `127.0.0.1:${primary.port}`, 'NEW:6379': `127.0.0.1:${node.port}` };
    const { code, output } = await runBlock('sentinels-to-cluster', { replace });
    expect(code, output).to.equal(0);

    const after = await startBeside(before, { ...settings, AIZUMI_REDIS_URL: target.url });
    expect((await after.post(send(1, 1))).status).to.equal(200); // a repeat, which adds nothing
    await until('the leases have ended', async () => (await after.post(recvRequest(LAST))).json.id === 1);
    for (let queue = 1; queue <= QUEUES; queue++) {
      const ids = [];
      for (let i = 0; i < 3; i++) ids.push((await after.post(recvRequest(queue))).json.id);
      expect(ids, `queue ${queue}`).to.deep.equal([1, 2, 3]);
      expect((await after.post(recvRequest(queue))).status).to.equal(404);
    }
    await after.stop();
  });
});
