// Moving from Redis 8 to Valkey 9 and back with the blocks in docs/operations.md. .ci/run names both servers.
import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { post } from '../../harness/broker.js';
import { makeCheckout, runBlock, startBlock } from '../support/documents.js';
import type { RunOptions, RunningBlock } from '../support/documents.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const { AIZUMI_TEST_REDIS_SERVER: OLD, AIZUMI_TEST_OTHER_SERVER: NEW } = process.env;
const LEASE_MS = 2_000;

describe('moving to a server that cannot read the snapshots of the old one', function () {
  this.timeout(90_000);
  const cwd = makeCheckout();
  const running = new Set<RunningBlock>();
  before('both servers are named', () => {
    if (OLD === undefined || NEW === undefined)
      throw new Error('set AIZUMI_TEST_REDIS_SERVER and AIZUMI_TEST_OTHER_SERVER, as .ci/run does');
  });
  after(async () => {
    await Promise.all([...running].map((block) => block.stop()));
    rmSync(cwd, { recursive: true });
  });

  const others = Object.entries(process.env).filter(([name]) => !/^(AIZUMI|npm)_/.test(name));
  const env = {
    ...Object.fromEntries(others),
    AIZUMI_PORT: '0',
    AIZUMI_REDIS_SERVER: OLD,
    AIZUMI_VISIBILITY_TIMEOUT_MS: String(LEASE_MS),
  };
  async function start(name: string, options: RunOptions = {}): Promise<RunningBlock> {
    const block = await startBlock(name, { cwd, env, ...options });
    running.add(block);
    return block;
  }
  async function stop(block: RunningBlock): Promise<void> {
    await block.stop();
    running.delete(block);
  }
  async function makePlainFile(): Promise<void> {
    const { code, output } = await runBlock('plain-file', { cwd, env });
    // the loop ends when grep finds no rewrite
    expect(code, output).to.equal(0);
  }
  const ask = async ({ port }: RunningBlock, request: object): Promise<Record<string, unknown>> =>
    (await post(`http://127.0.0.1:${port}/`, request)).json;
  const counts = async (broker: RunningBlock, address: number): Promise<{ waiting: number; delayed: number }> =>
    ((await ask(broker, statRequest(address))).payload as { queue: { waiting: number; delayed: number } }).queue;

  it('keeps waiting, leased, delayed and remembered messages, there and back', async () => {
    const first = await start('start');
    for (const id of [1, 2, 3]) await ask(first, sendRequest(100, id));
    await ask(first, { ...sendRequest(101, 4), delay_ms: 3_600_000 });
    await ask(first, { ...sendRequest(102, 5), dedup: true });
    expect((await ask(first, recvRequest(102))).id).to.equal(5);
    await ask(first, freeRequest(102, 5));
    expect((await ask(first, recvRequest(100))).id).to.equal(1);
    await makePlainFile();
    await ask(first, sendRequest(100, 6)); // after the rewrite
    await stop(first);

    const second = await start('other-server', {
      replace: { 'AIZUMI_REDIS_SERVER=valkey-server': `AIZUMI_REDIS_SERVER=${NEW}` },
    });
    expect(second.output)
      .to.match(/\.base\.aof$/m)
      .and.not.to.include('.base.rdb');
    await until('the lease has ended', async () => (await counts(second, 100)).waiting === 4);
    for (const id of [1, 2]) {
      expect((await ask(second, recvRequest(100))).id).to.equal(id);
      await ask(second, freeRequest(100, id));
    }
    expect(await counts(second, 101)).to.include({ delayed: 1 });
    await ask(second, { ...sendRequest(102, 5), dedup: true }); // a repeat
    expect(await counts(second, 102)).to.include({ waiting: 0 });
    await makePlainFile();
    await stop(second);

    const third = await start('start');
    for (const id of [3, 6]) expect((await ask(third, recvRequest(100))).id).to.equal(id);
    expect(await counts(third, 101)).to.include({ delayed: 1 });
  });
});
