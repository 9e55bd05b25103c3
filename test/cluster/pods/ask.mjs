// In a pod of the test: one request, some times, each on a connection of its own, as another worker may answer each. Standard
// input: url, body, key, times as JSON. Writes all statuses as JSON, each once; 0 is no answer.
import { request } from 'node:http';
import { text } from 'node:stream/consumers';

const TIMEOUT_MS = 3_000;
const { url, body, key, times } = JSON.parse(await text(process.stdin));
const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) };

const ask = () =>
  new Promise((resolve) => {
    const sent = request(url, { method: 'POST', agent: false, headers, timeout: TIMEOUT_MS });
    sent.once('timeout', () => sent.destroy());
    sent.once('error', () => resolve(0));
    sent.once('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.end(JSON.stringify(body));
  });

const statuses = new Set();
for (let i = 0; i < times; i++) statuses.add(await ask());
console.log(JSON.stringify([...statuses]));
process.exit();
