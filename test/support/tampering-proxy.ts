// A proxy that stands for a faulty broker: the test decides what it forwards and what it replies.
import { Agent, createServer, request as httpRequest } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export interface Answered {
  status: number;
  text: string;
  /** So many bytes of the text are sent, then the connection is cut. */
  cutAfter?: number;
}

/** @returns what to answer; undefined: nothing, the connection is cut */
export type Tamper = (
  request: any,
  forward: (request: object) => Promise<Answered>,
  headers: NodeJS.Dict<string | string[]>,
) => Answered | undefined | Promise<Answered | undefined>;

export interface Proxy {
  url: string;
  stop(): void;
}

export async function startProxy(target: string, tamper: Tamper): Promise<Proxy> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, outgoing) => {
    const serve = async (): Promise<void> => {
      let text = '';
      for await (const chunk of incoming.setEncoding('utf8')) text += chunk as string;
      const answer = await tamper(JSON.parse(text), (request) => forward(agent, target, request), incoming.headers);
      if (!answer) return void incoming.socket.destroy();
      const { status, text: full, cutAfter } = answer;
      const length = Buffer.byteLength(full);
      outgoing.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': length });
      if (cutAfter === undefined) outgoing.end(full);
      else outgoing.write(full.slice(0, cutAfter), () => incoming.socket.destroySoon());
    };
    serve().catch(() => incoming.socket.destroy());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}

function forward(agent: Agent, target: string, request: object): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json' };
    const sent = httpRequest(target, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text })).on('error', reject);
    });
    sent.on('error', reject).end(JSON.stringify(request));
  });
}
