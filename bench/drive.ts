// Sends prepared requests over as many connections as there are lists with autocannon, checks every answer and times them.
// autocannon runs in this process: the servers and Redis are others, so only their CPU time is counted.
import autocannon, { type Request } from 'autocannon';
import { percentile } from '../harness/measure.js';

export interface Driven {
  bodies: string[];
  perSecond: number;
  /** Latencies in ms, without each connection's first request, which includes connecting. */
  p50: number;
  p99: number;
}

/**
 * @param requests one list per connection, each sent once, in order
 * @param onLastAnswer called in the tick in which the last answer arrived
 */
export async function drive(url: string, requests: Request[][], onLastAnswer?: () => void): Promise<Driven> {
  const total = requests.reduce((sum, list) => sum + list.length, 0);
  const bodies: string[] = [];
  const bad: string[] = [];
  const latencies: number[] = [];
  let connection = 0;
  let answers = 0;
  let began = 0;
  let ended = 0;

  const result = await autocannon({
    url,
    connections: requests.length,
    amount: total,
    sampleInt: 200, // ms between autocannon's looks at whether it has finished
    bailout: requests.length,
    headers: { 'Content-Type': 'application/json' },
    setupClient: (client) => {
      let first = true;
      client.setRequests(requests[connection++] ?? []);
      client.on('response', (status, _bytes, millis) => {
        if (status !== 200) bad.push(`HTTP ${status}`);
        if (!first) latencies.push(millis);
        first = false;
        answers += 1;
        if (answers === 1) began = performance.now();
        if (answers === total) {
          ended = performance.now();
          onLastAnswer?.();
        }
      });
    },
    verifyBody: (body) => {
      const text = String(body);
      bodies.push(text);
      if (text.includes('"code":200')) return true;
      bad.push(text);
      return false;
    },
  });

  if (bad.length > 0 || result.errors > 0 || answers !== total) {
    throw new Error(
      `${bad.length} faults in answers, ${result.errors} connection errors, ${answers} of ${total} answered\n` +
        [...new Set(bad)].slice(0, 5).join('\n'),
    );
  }
  return {
    bodies,
    perSecond: (total - 1) / ((ended - began) / 1000),
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  };
}
