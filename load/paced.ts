// Sends prepared requests at a fixed rate, spread evenly over the connections, and checks every answer. autocannon's own rate is
// no use here: each of its connections sends all that a second may have at once, and then pauses.
import type { Request } from 'autocannon';
import { Agent, request as httpRequest } from 'node:http';
import type { Driven } from '../bench/drive.js';
import { percentile } from '../harness/measure.js';
import type { Driver } from '../bench/stages.js';
import { createPacer } from '../harness/pace.js';

/** @returns in place of bench/drive.ts's: `perSecond` requests over as many connections as there are lists */
export function paced(perSecond: number): Driver {
  return async (url, requests, onLastAnswer, onConnected): Promise<Driven> => {
    const connections = requests.length;
    // the connection that was used longest ago is next: all workers behind them get the same
    const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: 'fifo' });
    const ask = (method: string, path: string, body: string): Promise<string> => post(agent, url + path, method, body);
    await Promise.all(requests.map(() => ask('GET', '/livez', '')));
    onConnected();

    const bodies: string[] = [];
    const latencies: number[] = [];
    const all = interleaved(requests);
    const began = performance.now();
    const send = async (request: Request): Promise<void> => {
      const sent = performance.now();
      const text = await ask('POST', '/', String(request.body));
      if (!text.includes('"code":200')) throw new Error(`a fault in an answer: ${text}`);
      latencies.push(performance.now() - sent);
      if (bodies.push(text) === all.length) onLastAnswer();
    };
    const pacer = createPacer(perSecond);
    const due = (): Promise<void> => new Promise((resolve) => pacer.enter(() => resolve()));
    await Promise.all(all.map((request) => due().then(() => send(request))));
    pacer.stop();
    const took = (performance.now() - began) / 1_000;
    agent.destroy();
    return {
      bodies,
      perSecond: all.length / took,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
    };
  };
}

/** As dealt: the first of each list, then the second of each. */
function interleaved(lists: Request[][]): Request[] {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

function post(agent: Agent, url: string, method: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const sent = httpRequest(url, { agent, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text)).on('error', reject);
    });
    sent.on('error', reject).end(body);
  });
}
