// Serves GET /metrics on a port of its own, so that access to messages does not imply access to metrics, nor the reverse.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AggregatorRegistry, Registry } from 'prom-client';
import type { ReadMetrics } from './worker-metrics.js';

/** The metrics are read at most this often, however many clients scrape. */
const FRESH_MS = 1_000;
/** More than two Prometheus servers and a person need. */
const MOST_CONNECTIONS = 50;

export interface MetricsServer {
  readonly port: number;
  stop(): void;
}

/**
 * @param port 0: any free port
 * @throws Error that names the setting to change
 */
export async function serveMetrics(host: string, port: number, read: ReadMetrics): Promise<MetricsServer> {
  const text = rendered(read);
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (req, res) => answer(req, res, text));
  server.maxConnections = MOST_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ message }) =>
      reject(
        new Error(
          `cannot listen for scrapers on ${host}, port ${port} (${message}): set AIZUMI_METRICS_PORT and AIZUMI_METRICS_HOST`,
        ),
      ),
    );
    server.listen({ host, port, exclusive: true }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function rendered(read: ReadMetrics): () => Promise<string> {
  let last: Promise<string> | undefined;
  let readMs = 0;
  return () => {
    const nowMs = performance.now();
    if (last === undefined || nowMs - readMs > FRESH_MS) {
      readMs = nowMs;
      last = read(true).then(({ own, queues }) => AggregatorRegistry.aggregate([own, queues]).metrics());
    }
    return last;
  };
}

function answer(req: IncomingMessage, res: ServerResponse, text: () => Promise<string>): void {
  const reply = (code: number, type: string, body: string): void => {
    res.writeHead(code, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
    res.end(req.method === 'HEAD' ? undefined : body);
  };
  if (req.url?.split('?')[0] !== '/metrics') reply(404, 'text/plain', 'the metrics are at GET /metrics\n');
  else if (req.method !== 'GET' && req.method !== 'HEAD') reply(405, 'text/plain', 'use GET\n');
  else
    text().then(
      (body) => reply(200, Registry.PROMETHEUS_CONTENT_TYPE, body),
      (error: unknown) => reply(500, 'text/plain', `the metrics could not be read: ${String(error)}\n`),
    );
}
