import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { freeRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { startSpanReceiver } from '../support/span-receiver.js';
import type { ReceivedSpan } from '../support/span-receiver.js';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN_ID = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`;
const [INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER] = [1, 2, 3, 4, 5];

describe('traces', () => {
  let receiver: Awaited<ReturnType<typeof startSpanReceiver>>;
  before(async () => (receiver = await startSpanReceiver()));
  after(() => receiver.stop());
  beforeEach(() => (receiver.spans.length = 0));

  /** All spans of the requests: a worker that stops exports everything first. */
  async function spansOf(act: (broker: TestBroker) => Promise<unknown>, env: object = {}): Promise<ReceivedSpan[]> {
    const broker = await startBroker({ AIZUMI_TRACES_URL: receiver.url, ...env });
    await act(broker).finally(() => broker.stop());
    return receiver.spans;
  }

  const named = (spans: ReceivedSpan[], name: string): ReceivedSpan => {
    const found = spans.filter((span) => span.name === name);
    expect(found, name).to.have.length(1);
    return found[0]!;
  };

  it('follow a message from its sender to its receiver', async () => {
    let told = '';
    const spans = await spansOf(async (broker) => {
      await broker.post(sendRequest(100, 7), { traceparent: TRACEPARENT });
      const { headers, json } = await broker.post({ ...recvRequest(100), details: true });
      told = headers.get('traceparent')!;
      expect(json.delivery).to.deep.include({ traceparent: told });
      await broker.post(freeRequest(100, 7));
    });
    expect(receiver.paths).to.include('POST /v1/traces');

    const send = named(spans, 'send');
    const http = spans.find(({ spanId }) => spanId === send.parentSpanId)!;
    expect([http.name, http.kind, http.traceId, http.parentSpanId]).to.deep.equal([
      'POST /',
      SERVER,
      TRACE_ID,
      SPAN_ID,
    ]);
    expect(http.attributes['http.response.status_code']).to.equal(200);
    expect([send.kind, send.traceId]).to.deep.equal([PRODUCER, TRACE_ID]);
    expect(send.attributes).to.deep.include({
      'messaging.system': 'aizumi',
      'messaging.operation.type': 'send',
      'messaging.destination.name': '100',
      'messaging.message.id': '7',
    });
    expect(send.resource).to.deep.include({ 'service.name': 'aizumi' });

    const receive = named(spans, 'receive');
    expect(receive.kind).to.equal(CONSUMER);
    expect(receive.traceId, 'a trace of its own').not.to.equal(TRACE_ID);
    expect(receive.links!.map(({ traceId, spanId }) => [traceId, spanId])).to.deep.equal([[TRACE_ID, send.spanId]]);
    expect(receive.attributes).to.deep.include({ 'messaging.operation.type': 'receive', 'messaging.message.id': '7' });
    expect(told).to.equal(`00-${TRACE_ID}-${send.spanId}-01`);

    const free = named(spans, 'free');
    expect(free.kind).to.equal(INTERNAL);
    for (const [parent, commands] of [
      [send, ['EVALSHA', 'EVAL', 'XADD']],
      [receive, ['EVALSHA', 'EVAL']],
      [free, ['EVALSHA', 'EVAL']],
    ] as const) {
      const trips = spans.filter(({ parentSpanId, kind }) => parentSpanId === parent.spanId && kind === CLIENT);
      expect(trips.length, parent.name).to.be.above(0);
      expect(commands).to.include(trips[0]!.name);
      expect(trips[0]!.traceId).to.equal(parent.traceId);
      expect(trips[0]!.attributes['db.system.name']).to.equal('redis');
    }
  });

  it('have a span for each request of a batch, under the span of the HTTP request or its own traceparent', async () => {
    const spans = await spansOf((broker) =>
      broker.post([
        sendRequest(1, 1),
        { ...sendRequest(1, 2), traceparent: TRACEPARENT },
        { ...sendRequest(1, 3), id: 'x' },
      ]),
    );
    const http = named(spans, 'POST /');
    const sends = spans.filter(({ name }) => name === 'send');
    expect(sends.map(({ parentSpanId }) => parentSpanId)).to.have.members([http.spanId, SPAN_ID]);
    expect(http.attributes['http.response.status_code']).to.equal(207);
  });

  it('have the reason why a request failed', async () => {
    const spans = await spansOf((broker) => broker.post(recvRequest(9)));
    expect(named(spans, 'receive').attributes['error.type']).to.equal('queue_empty');
  });

  it('are sampled by AIZUMI_TRACES_RATIO, except that a trace sampled by the client is always kept', async () => {
    const spans = await spansOf(
      async (broker) => {
        await broker.post(sendRequest(1, 1));
        await broker.post(sendRequest(1, 2), { traceparent: TRACEPARENT });
        const { json } = await broker.post({ ...recvRequest(1), details: true });
        expect((json.delivery as { traceparent: string }).traceparent, 'travels all the same').to.match(/-00$/);
      },
      { AIZUMI_TRACES_RATIO: '0' },
    );
    expect(new Set(spans.map(({ traceId }) => traceId))).to.deep.equal(new Set([TRACE_ID]));
  });

  it('do no harm while their receiver is down', async () => {
    const broker = await startBroker({ AIZUMI_TRACES_URL: 'http://127.0.0.1:1' });
    expect((await broker.post(sendRequest(1, 1))).status).to.equal(200);
    await broker.stop();
  });

  // prom-client loads @opentelemetry/api, which does nothing on its own
  it('load no OpenTelemetry code while they are off', async () => {
    const script = `
      import { createRequire } from 'node:module';
      const { startBroker } = await import('./harness/broker.ts');
      const broker = await startBroker(JSON.parse(process.env.TRACES));
      const sent = await broker.post({ msg_type: 1, saddr: 1, daddr: 1, id: 1, payload: 1 });
      const loaded = Object.keys(createRequire(import.meta.url).cache).filter((name) => name.includes('@opentelemetry/sdk'));
      console.log(sent.status, loaded.length > 0);
      await broker.stop();
      process.exit(0);`;
    const outputOf = async (env: object): Promise<string> => {
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        env: { ...process.env, TRACES: JSON.stringify(env) },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.on('data', (chunk) => (output += String(chunk)));
      await once(child, 'close');
      return output.trim();
    };
    expect(await outputOf({}), 'off').to.equal('200 false');
    expect(await outputOf({ AIZUMI_TRACES_URL: receiver.url }), 'on').to.equal('200 true');
  });
});
