// A client over kept connections for those who measure: any status is a reply, a broken connection rejects.
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
  /** Connections at most; default: one for each request under way. */
  connections?: number;
  headers?: Record<string, string>;
  /** The address to connect from: on Linux all of 127.0.0.0/8 is this machine. */
  localAddress?: string;
  /** A request that takes longer rejects with an AbortError; default: it may take for ever. */
  timeoutMs?: number;
}

export function httpClient(url: string, options: HttpClientOptions = {}): HttpClient {
  const { connections = Infinity, headers, localAddress, timeoutMs } = options;
  // the connection that was used longest ago is next, so that all workers behind them get the same
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

/** The text of a 2xx reply. @throws Error where it is another */
export function okText({ status, text }: HttpReply): string {
  if (status >= 200 && status < 300) return text;
  throw new Error(`HTTP ${status} ${text.slice(0, 300)}`);
}
