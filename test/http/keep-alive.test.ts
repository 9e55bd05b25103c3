// An idle connection is kept for as long as its replies announce, plus one second.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { loadConfig } from '../../src/config/config.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { httpRequest, openConnection } from '../../harness/connection.js';
import { statRequest } from '../../harness/requests.js';

const STAT = httpRequest(JSON.stringify(statRequest(1)));

describe('an idle connection', () => {
  let broker: TestBroker;
  before(async () => (broker = await startBroker({ AIZUMI_KEEP_ALIVE_MS: '1000' })));
  after(() => broker.stop());

  it('is kept for AIZUMI_KEEP_ALIVE_MS, as its replies announce, and never closed sooner', async () => {
    const connection = await openConnection(broker.url);
    for (let n = 0; n < 2; n++) {
      connection.write(STAT);
      expect((await connection.reply()).headers['keep-alive']).to.equal('timeout=1');
    }
    const repliedMs = performance.now();
    expect(await connection.closed(10_000)).to.equal('');
    expect(performance.now() - repliedMs, 'ms').to.be.above(1_000);
  });
});

describe('the balancer configurations that aizumi ships or documents', () => {
  const keptMs = loadConfig({}).keepAliveMs;
  /** Seconds that each keeps an idle connection to a worker. */
  const idle: [file: string, setting: RegExp][] = [
    ['deploy/haproxy.cfg', /^ *timeout http-keep-alive (\d+)s$/gm],
    ['docs/ingress.md', /^ *timeout http-keep-alive (\d+)s$/gm],
    ['docs/ingress.md', /^ *keepalive_timeout (\d+)s;$/gm],
    ['docs/ingress.md', /idle_timeout: (\d+)s/g],
  ];
  for (const [file, setting] of idle)
    it(`close an idle connection before the worker does: ${file}, ${String(setting)}`, () => {
      const found = [...readFileSync(file, 'utf8').matchAll(setting)].map(([, seconds]) => Number(seconds) * 1e3);
      expect(found).not.to.be.empty;
      for (const ms of found) expect(ms).to.be.below(keptMs);
    });
});
