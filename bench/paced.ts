// Sends prepared requests at a fixed rate, spread evenly over the connections, and checks every reply. autocannon's own rate is no use
// here: each of its connections sends all that a second may have at once, and then pauses.
import type { Request } from 'autocannon';
import { httpClient } from '../harness/http-client.js';
import { percentile } from '../harness/measure.js';
import { createPacer } from '../harness/pace.js';
import type { Driven } from './drive.js';
import type { Driver } from './stages.js';

/** @returns in place of drive(): `perSecond` requests over as many connections as there are lists */
export function paced(perSecond: number): Driver {
  return async (url, requests, onLastAnswer, onConnected): Promise<Driven> => {
    const client = httpClient(url, { connections: requests.length });
    await Promise.all(requests.map(() => client.ask('GET', '/livez')));
    onConnected();

    const bodies: string[] = [];
    const latencies: number[] = [];
    const all = interleaved(requests);
    const began = performance.now();
    const send = async (request: Request): Promise<void> => {
      const sent = performance.now();
      const { text } = await client.ask('POST', '/', String(request.body));
      if (!text.includes('"code":200')) throw new Error(`a fault in a reply: ${text}`);
      latencies.push(performance.now() - sent);
      if (bodies.push(text) === all.length) onLastAnswer();
    };
    const pacer = createPacer(perSecond);
    const due = (): Promise<void> => new Promise((resolve) => pacer.enter(() => resolve()));
    await Promise.all(all.map((request) => due().then(() => send(request))));
    pacer.stop();
    const took = (performance.now() - began) / 1_000;
    client.close();
    const [p50, p99] = [percentile(latencies, 0.5), percentile(latencies, 0.99)];
    return { bodies, perSecond: all.length / took, p50, p99 };
  };
}

/** As dealt: the first of each list, then the second of each. */
function interleaved(lists: Request[][]): Request[] {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}
