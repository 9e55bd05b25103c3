// A client with one keep-alive connection that distinguishes what can happen to a request on it.
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { testKey } from './test-key.js';

/**
 * - `refused`: nothing was sent, since the connection was refused
 * - `broken`: the connection broke before the reply; `reused`: it had carried an earlier request
 */
export type Outcome =
  | { kind: 'replied'; status: number; json: Record<string, any>; connection: string | undefined }
  | { kind: 'refused' }
  | { kind: 'broken'; error: NodeJS.ErrnoException; reused: boolean };

export interface KeepAliveClient {
  post: (request: object, headers?: Record<string, string>) => Promise<Outcome>;
  close(): void;
}

/** @param timeoutMs a request without any data for this long counts as broken; default: no limit */
export function openClient(url: string, timeoutMs?: number): KeepAliveClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    post: (request, more) =>
      new Promise((resolve) => {
        const headers = { 'content-type': 'application/json', ...testKey(), ...more };
        const sent = httpRequest(url, { method: 'POST', agent, headers, timeout: timeoutMs });
        sent.once('timeout', () => sent.destroy(new Error(`no answer for ${timeoutMs} ms`)));
        sent.once('error', (error: NodeJS.ErrnoException) =>
          resolve(
            error.code === 'ECONNREFUSED' ? { kind: 'refused' } : { kind: 'broken', error, reused: sent.reusedSocket },
          ),
        );
        sent.once('response', (response) => void collect(response, sent.reusedSocket).then(resolve));
        sent.end(JSON.stringify(request));
      }),
    close: () => agent.destroy(),
  };
}

async function collect(response: IncomingMessage, reused: boolean): Promise<Outcome> {
  try {
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
    const { connection } = response.headers;
    return { kind: 'replied', status: response.statusCode ?? 0, json: JSON.parse(text), connection };
  } catch (error) {
    return { kind: 'broken', error: error as NodeJS.ErrnoException, reused };
  }
}
