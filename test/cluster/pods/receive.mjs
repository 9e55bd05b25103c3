// In a pod of the test: receives and frees until a queue is empty, and writes the ids as JSON. Standard input: the options.
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

const { url, key, address, withinMs } = JSON.parse(await text(process.stdin));
const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
const deadline = performance.now() + withinMs;

/** @returns the reply; undefined where there was none */
async function ask(msgType, more) {
  const body = JSON.stringify({ msg_type: msgType, saddr: address, daddr: 5000, ...more });
  const signal = AbortSignal.timeout(10_000);
  return fetch(url, { method: 'POST', headers, body, signal })
    .then((response) => response.json())
    .catch(() => undefined);
}

const received = new Set();
let again = 0;
for (;;) {
  if (performance.now() > deadline) throw new Error(`address ${address} was not empty within ${withinMs} ms`);
  const reply = await ask('MSG_RECV_REQ', { max: 1_000 });
  if (reply?.code === 200) {
    const ids = reply.messages.map(({ id }) => id);
    for (const id of ids) {
      if (received.has(id)) again += 1;
      received.add(id);
    }
    await ask('MSG_FREE_REQ', { ids });
    continue;
  }
  // a message whose FREE had no answer is leased, and comes again
  const queue = reply?.code === 404 && (await ask('MSG_STAT_REQ'))?.payload;
  if (queue && (queue.queue?.waiting ?? 0) + (queue.queue?.leased ?? 0) + (queue.queue?.delayed ?? 0) === 0) break;
  await pause(200);
}
const runs = [];
for (const id of [...received].sort((a, b) => a - b)) {
  if (runs.at(-1)?.[1] === id - 1) runs.at(-1)[1] = id;
  else runs.push([id, id]);
}
console.log(JSON.stringify({ received: runs, again }));
