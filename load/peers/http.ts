// The client of those that speak HTTP: kept connections, one for each lane.
import { Agent, request } from 'node:http';

export interface HttpClient {
  /** @returns the body of a 2xx answer; anything else rejects */
  ask(method: string, path: string, body?: string): Promise<string>;
  close(): void;
}

export function httpClient(url: string, connections: number, headers: Record<string, string> = {}): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  return {
    ask: (method, path, body = '') =>
      new Promise((resolve, reject) => {
        const length = { 'content-length': Buffer.byteLength(body), ...headers };
        const sent = request(url + path, { method, agent, headers: length }, (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('error', reject);
          response.on('end', () => {
            const { statusCode = 0 } = response;
            if (statusCode >= 200 && statusCode < 300) resolve(text);
            else reject(new Error(`${method} ${path}: HTTP ${statusCode} ${text.slice(0, 300)}`));
          });
        });
        sent.on('error', reject);
        sent.end(body);
      }),
    close: () => agent.destroy(),
  };
}
