// In a pod of the test: one request. Standard input: url, body, key, timeoutMs as JSON. Writes the status, or why there is none.
import { text } from 'node:stream/consumers';

const { url, body, key, timeoutMs } = JSON.parse(await text(process.stdin));
const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) };
const signal = AbortSignal.timeout(timeoutMs);
const answer = await fetch(url, { ...(body && { method: 'POST', body: JSON.stringify(body) }), headers, signal }).then(
  async (response) => ({ status: response.status, text: await response.text() }),
  (error) => ({ error: error.cause?.code ?? error.name }),
);
console.log(JSON.stringify(answer));
process.exit();
