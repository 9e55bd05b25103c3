// Traces with OpenTelemetry: a span per HTTP request, per request in it, and per Redis round trip; sent as OTLP over HTTP, in
// JSON. Loaded only when AIZUMI_TRACES_URL is set (src/worker.ts).
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, diag, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span, SpanContext, Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { BrokerError } from '../../errors.js';
import { lookUp } from '../../names/host-names.js';
import { traceparentOf } from '../tracing.js';
import type { Traces } from '../tracing.js';
import { withTimeout } from '../../timing/timeout.js';
import { traceRedis } from './redis-spans.js';

export interface TracesOptions {
  /** The OTLP/HTTP receiver; its path is /v1/traces unless the URL has another. */
  url: string;
  /** Sampling ratio of the traces that begin here, 0 … 1. */
  ratio: number;
  version: string;
  log: Logger;
}

/** Failed exports of spans are logged at most this often. */
const COMPLAINT_EVERY_MS = 60_000;
const STOP_MS = 2_000;

/** Orchestrators request these several times a second; nobody needs traces of them. */
const PROBES = new Set(['/livez', '/readyz']);

export function startTraces({ url, ratio, version, log }: TracesOptions): Traces {
  complainTo(log);
  const exporter = new OTLPTraceExporter({ url: receiverOf(url), httpAgentOptions: { lookup: lookUp } });
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'aizumi', 'service.version': version }))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer('aizumi', version);
  const current = new AsyncLocalStorage<Span>();
  const stopRedis = traceRedis(tracer, () => current.getStore());
  return {
    serve: (listener) => (req, res) => {
      if (PROBES.has(req.url ?? '')) return listener(req, res);
      const span = startServerSpan(tracer, req);
      res.once('close', () => endServerSpan(span, res));
      return current.run(span, () => listener(req, res));
    },
    request: (type, fields, carryOut) => {
      const parent = contextOf(fields.traceparent) ?? under(current.getStore());
      const span = tracer.startSpan(...describe(type, fields), parent);
      return current.run(span, () => ended(span, carryOut(textOf(span.spanContext()))));
    },
    received(messages) {
      const span = current.getStore();
      const [first] = messages;
      if (messages.length === 1 && first) span?.setAttribute('messaging.message.id', String(first.id));
      else span?.setAttribute('messaging.batch.message_count', messages.length);
      for (const { traceparent } of messages) {
        const sender = traceparent === undefined ? undefined : parse(traceparent);
        if (sender) span?.addLink({ context: sender });
      }
    },
    async stop() {
      stopRedis();
      await withTimeout(STOP_MS, provider.shutdown());
    },
  };
}

/** OpenTelemetry discards its errors unless a logger is set. */
function complainTo(log: Logger): void {
  let lastMs = -COMPLAINT_EVERY_MS;
  const complain = (message: string): void => {
    if (performance.now() - lastMs < COMPLAINT_EVERY_MS) return;
    lastMs = performance.now();
    log.warn(
      { reason: message },
      'could not send traces, which are discarded: check the receiver at AIZUMI_TRACES_URL',
    );
  };
  const silent = (): void => undefined;
  const logger = { error: complain, warn: complain, info: silent, debug: silent, verbose: silent };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
}

const receiverOf = (text: string): string => {
  const url = new URL(text);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
};

const under = (span: Span | undefined): Context => (span ? trace.setSpan(ROOT_CONTEXT, span) : ROOT_CONTEXT);

function contextOf(header: unknown): Context | undefined {
  const text = traceparentOf(header);
  return text === undefined ? undefined : trace.setSpanContext(ROOT_CONTEXT, parse(text));
}

/** @param text a valid traceparent */
function parse(text: string): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = text.split('-');
  // `sampled` is the only flag that every version defines
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

const textOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;

function startServerSpan(tracer: Tracer, { method = '', url = '', headers }: IncomingMessage): Span {
  const path = url.replace(/\?.*$/s, '');
  const attributes = { 'http.request.method': method, 'url.path': path, 'url.scheme': 'http' };
  // other paths may contain addresses, each of which would become a span name
  const name = path === '/' ? `${method} /` : method;
  return tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, contextOf(headers.traceparent) ?? ROOT_CONTEXT);
}

function endServerSpan(span: Span, { statusCode, headersSent }: ServerResponse): void {
  if (headersSent) span.setAttribute('http.response.status_code', statusCode);
  if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** Names and attributes follow https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/. */
function describe(
  type: string,
  { saddr, daddr, id }: Readonly<Record<string, unknown>>,
): [name: string, options: { kind: SpanKind; attributes: Attributes }] {
  const isSend = type === 'MSG_SEND_REQ';
  const { name, operation, kind } = OPERATIONS[type] ?? {
    name: type.replace(/^MSG_|_REQ$/g, '').toLowerCase(),
    kind: SpanKind.INTERNAL,
  };
  const attributes: Attributes = {
    'messaging.system': 'aizumi',
    'messaging.operation.name': name,
    'messaging.destination.name': String(isSend ? daddr : saddr),
  };
  if (operation !== undefined) attributes['messaging.operation.type'] = operation;
  // clients that always send all five fields send an id with RECV too, where it has no meaning
  if (typeof id === 'number' && operation !== undefined && operation !== 'receive')
    attributes['messaging.message.id'] = String(id);
  return [name, { kind, attributes }];
}

const OPERATIONS: Readonly<Record<string, { name: string; operation?: string; kind: SpanKind }>> = {
  MSG_SEND_REQ: { name: 'send', operation: 'send', kind: SpanKind.PRODUCER },
  MSG_RECV_REQ: { name: 'receive', operation: 'receive', kind: SpanKind.CONSUMER },
  MSG_FREE_REQ: { name: 'free', operation: 'settle', kind: SpanKind.INTERNAL },
  MSG_BACK_REQ: { name: 'back', operation: 'settle', kind: SpanKind.INTERNAL },
};

/** Reasons that are failures of the broker, not replies that a client must expect. */
const FAULTS = new Set(['unavailable', 'not_durable', 'internal']);

async function ended<T>(span: Span, answered: Promise<T>): Promise<T> {
  try {
    return await answered;
  } catch (error) {
    const { reason = 'internal' } = error as Partial<BrokerError>;
    span.setAttribute('error.type', reason);
    if (FAULTS.has(reason)) span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}
