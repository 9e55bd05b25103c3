// A client with keep-alive connections for measurements: any status is a reply, a broken connection rejects.
import { Agent, request as httpRequest } from 'node:http';

export interface HttpReply {
  status: number;
  text: string;
}

export interface HttpClient {
  ask(method: string, path: string, body?: string, headers?: Record<string, string>): Promise<HttpReply>;
  close(): void;
}

export interface HttpClientOptions {
  /** Maximum number of connections; default: one for each request in progress. */
  connections?: number;
  headers?: Record<string, string>;
  /** The address to connect from: on Linux all of 127.0.0.0/8 is this machine. */
  localAddress?: string;
  /** A request that takes longer rejects with an AbortError; default: no limit. */
  timeoutMs?: number;
}

export function httpClient(url: string, options: HttpClientOptions = {}): HttpClient {
  const { connections = Infinity, headers, localAddress, timeoutMs } = options;
  // the least recently used connection is next, so that the load is the same for all workers behind them
  const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: 'fifo', localAddress });
  const base = url.replace(/\/$/, '');
  return {
    ask: (method, path, body = '', more = {}) =>
      new Promise((resolve, reject) => {
        const sent = httpRequest(base + path, {
          method,
          agent,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            ...headers,
            ...more,
          },
          ...(timeoutMs !== undefined && { signal: AbortSignal.timeout(timeoutMs) }),
        });
        sent.on('error', reject).on('response', (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('error', reject).on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        });
        sent.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** The text of a 2xx reply. @throws Error for any other status */
export function okText({ status, text }: HttpReply): string {
  if (status >= 200 && status < 300) return text;
  throw new Error(`HTTP ${status} ${text.slice(0, 300)}`);
}
