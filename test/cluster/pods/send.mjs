// In a pod of the test: SENDs over some connections, each message with an id of its own, until the next line on standard input
// or its end; or any other body instead, whatever is answered. The first line is the options, as JSON. Writes a line of JSON now and then, with how many were done; the last
// one is the result.
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const PROGRESS_MS = 250;
/** A client that was refused does not ask again at once. */
const RETRY_MS = 50;
const [DONE, NOT_DONE, UNKNOWN] = [1, 2, 3];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = JSON.parse((await lines.next()).value);
const { url, key, address, kept, fresh = 0, perSecond, durability, timeoutMs, burden } = options;

/** Id → what became of it; ids count from 0. */
const answers = [];
const reasons = new Map();
const tookMs = [];
const gaps = [];
let done = 0;
let stopped = false;
let lastDone;

function answerOf(status, text) {
  if (status === 200 || burden) return [DONE];
  let error;
  try {
    ({ error } = JSON.parse(text));
  } catch {
    // not one of aizumi's answers
  }
  const isUnknown = !error || error.reason === 'not_durable' || error.outcome === 'unknown' || status === 500;
  const why = error ? `${status} ${error.reason}, ${error.outcome ?? ''}: ${error.message}` : `${status} ${text}`;
  return [isUnknown ? UNKNOWN : NOT_DONE, why];
}

/** @returns the answer, and why it is not "done" */
const post = (agent, body) =>
  new Promise((resolve) => {
    let wasSent = false;
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
    const sent = request(url, { method: 'POST', agent, headers });
    // also while nobody answers to a new connection, where the request's own timeout does not count
    const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const end = (answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    sent.once('socket', (socket) => {
      wasSent = !socket.connecting;
      if (!wasSent) socket.once('connect', () => (wasSent = true));
    });
    const fail = (error) =>
      end([wasSent ? UNKNOWN : NOT_DONE, `${wasSent ? 'broken' : 'no connection'}: ${error.message}`]);
    sent.once('error', fail);
    sent.once('response', async (response) => {
      try {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        end(answerOf(response.statusCode, text));
      } catch (error) {
        fail(error);
      }
    });
    sent.end(body);
  });

function record(id, [answer, why], startMs) {
  const now = performance.now();
  answers[id] = answer;
  if (answer === DONE) {
    done += 1;
    tookMs.push(now - startMs);
    if (lastDone !== undefined) gaps.push({ ms: now - lastDone, at: Date.now() });
    if (gaps.length > 1_000) gaps.sort((a, b) => b.ms - a.ms).splice(5);
    lastDone = now;
  } else {
    reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
}

async function drive(agent, index, count) {
  const everyMs = perSecond && (1_000 * count) / perSecond;
  let dueMs = performance.now() + (everyMs ? (everyMs * index) / count : 0);
  while (!stopped) {
    if (everyMs) {
      await pause(Math.max(0, dueMs - performance.now()));
      dueMs += everyMs;
    }
    const id = answers.push(0) - 1;
    const message = {
      msg_type: 'MSG_SEND_REQ',
      saddr: 1,
      daddr: address,
      id,
      payload: 'hello',
      durability,
      dedup: false,
    };
    const startMs = performance.now();
    const answer = await post(agent, JSON.stringify(burden ?? message));
    record(id, answer, startMs);
    if (answer[0] !== DONE) await pause(RETRY_MS);
  }
  agent.destroy();
}

/** [first, last] of each run of ids with this answer. */
function runsOf(answer) {
  const runs = [];
  for (const [id, each] of answers.entries()) {
    if (each !== answer) continue;
    if (runs.at(-1)?.[1] === id - 1) runs.at(-1)[1] = id;
    else runs.push([id, id]);
  }
  return runs;
}

const startMs = performance.now();
const agents = [
  ...Array.from({ length: kept }, () => new Agent({ keepAlive: true, maxSockets: 1 })),
  ...Array.from({ length: fresh }, () => new Agent({ keepAlive: false, maxSockets: 1 })),
];
const all = agents.map((agent, i) => drive(agent, i, agents.length));
const progress = setInterval(() => console.log(JSON.stringify({ done })), PROGRESS_MS);
await lines.next();
stopped = true;
const stoppedMs = performance.now();
await Promise.all(all);
clearInterval(progress);
if (stoppedMs - (lastDone ?? startMs) > 0) gaps.push({ ms: stoppedMs - (lastDone ?? startMs), at: Date.now() });
tookMs.sort((a, b) => a - b);
const result = {
  acknowledged: runsOf(DONE),
  notDone: runsOf(NOT_DONE),
  unknown: runsOf(UNKNOWN),
  reasons: Object.fromEntries(reasons),
  seconds: (stoppedMs - startMs) / 1000,
  gaps: gaps.sort((a, b) => b.ms - a.ms).slice(0, 5),
  p50Ms: tookMs[Math.floor(tookMs.length * 0.5)],
  p99Ms: tookMs[Math.floor(tookMs.length * 0.99)],
};
process.stdout.write(`${JSON.stringify({ result })}\n`, () => process.exit());
