// One variant of a scenario, from its first address to its last: queues, messages that wait, the timed part, the end.
import type { Conversation } from './conversation.js';
import { claim, randomAddress } from './deployment.js';
import type { Deployment } from './deployment.js';
import { drive } from './drive.js';
import { addressAt, sendMany } from './exchange.js';
import type { Run } from './exchange.js';
import { createLedger } from './ledger.js';
import type { Verdict } from './ledger.js';
import { createPacer } from './pace.js';
import { startSampling } from './samples.js';
import type { OnSample } from './samples.js';
import type { LoadOptions, Scenario, Variant } from './scenario.js';
import { settle } from './settle.js';
import { createTally } from './tally.js';
import type { Tally } from './tally.js';

/** µs of CPU used so far, by processes that the one who watches knows. */
export interface Usage {
  workerMicros: number;
  redisMicros: number;
}

/** Those who watch a run; each may be left out. */
export interface Watch {
  /** `fraction` of the part that is named, 0 … 1. */
  progress?(part: string, fraction: number, tally: Tally): void;
  usage?(): Promise<Usage>;
  sample?: OnSample;
  isStopped?(): boolean;
}

export interface Result {
  scenario: string;
  variant: string;
  firstAddress: number;
  connections: number;
  /** Why it was not run. */
  notRun?: string;
  /** Of the timed part. */
  seconds: number;
  tally: Tally;
  /** Of filling and draining. */
  beside: Tally;
  verdict: Verdict;
  /** Of the timed part. */
  usage?: Usage;
}

const PAYLOAD_LENGTH = 100;
const DURATION_S = 10;
const PROGRESS_MS = 250;
/** SENDs in one body, where messages are to wait. */
const FILL_BATCH = 100;
const FILLERS = 16;

/** @throws LoadError where the deployment does not do what a run needs */
export async function runVariant(
  deployment: Deployment,
  scenario: Scenario,
  variant: Variant,
  options: LoadOptions,
  watch: Watch = {},
): Promise<Result> {
  const addresses = { first: options.firstAddress ?? randomAddress(), count: variant.queues };
  const durationS = options.durationS ?? variant.durationS ?? DURATION_S;
  const ledger = createLedger(firstId(), variant.payloadLength ?? PAYLOAD_LENGTH, addresses);
  const connections = Math.max(options.connections, variant.leastConnections ?? 1);
  let endMs = 0;
  const goesOn = (): boolean => performance.now() < endMs && watch.isStopped?.() !== true;
  const run: Run = { ledger, tally: createTally(), addresses, goesOn };
  const beside: Run = { ...run, tally: createTally() };
  const { url, headers } = deployment;
  const leading = { headers, timeoutMs: options.timeoutS * 1000 };
  const follow = (part: string, fraction: () => number, tally: Tally): NodeJS.Timeout =>
    setInterval(() => watch.progress?.(part, Math.min(1, fraction()), tally), PROGRESS_MS);

  await claim(deployment, addresses);
  const notRun = variant.probe && (await probe(variant.probe(beside), url, leading));
  let seconds = 0;
  let usage: Usage | undefined;
  if (notRun === undefined) {
    if (variant.waiting) {
      const { waiting, waitingWithinS = Infinity } = variant;
      endMs = performance.now() + waitingWithinS * 1000;
      const filled = (): number => [...beside.tally.rows.values()].reduce((sum, { messages }) => sum + messages, 0);
      const timer = follow('filling', () => filled() / waiting, beside.tally);
      await drive(url, fillers(beside, waiting), leading).finally(() => clearInterval(timer));
    }
    const talks = Array.from({ length: connections }, (_, i) => variant.talk(run, i));
    const before = await watch.usage?.();
    const startMs = performance.now();
    endMs = startMs + durationS * 1000;
    const pacer = options.rate === undefined ? undefined : createPacer(options.rate);
    const timers = [follow('', () => (performance.now() - startMs) / (durationS * 1000), run.tally)];
    if (pacer) timers.push(setTimeout(() => pacer.stop(), durationS * 1000));
    if (variant.samples && watch.sample)
      timers.push(startSampling(run.tally, options.sampleS ?? durationS / 60, watch.sample));
    let lastMs = startMs;
    const timed = talks.map((talk) => marking(talk, () => (lastMs = performance.now())));
    try {
      await drive(url, timed, { ...leading, pacer });
      const after = await watch.usage?.();
      if (before && after) usage = difference(before, after);
    } finally {
      pacer?.stop();
      timers.forEach((timer) => clearTimeout(timer));
    }
    seconds = (lastMs - startMs) / 1000;
  }
  const toDrain = Math.max(1, ledger.verdict(0).sent - run.tally.all.messages / 3);
  const timer = follow('draining', () => beside.tally.all.messages / 2 / toDrain, beside.tally);
  const verdict = await settle(beside, deployment, options.keep).finally(() => clearInterval(timer));
  return {
    scenario: scenario.name,
    variant: variant.name,
    firstAddress: addresses.first,
    connections,
    seconds,
    tally: run.tally,
    beside: beside.tally,
    verdict,
    ...(usage && { usage }),
    ...(notRun !== undefined && { notRun }),
  };
}

/** Ten digits, like no run before. */
const firstId = (): number => 1e9 + Math.floor(Math.random() * 8e9);

async function probe(
  conversation: Conversation<string | undefined>,
  url: string,
  leading: { headers: Record<string, string>; timeoutMs: number },
): Promise<string | undefined> {
  let found: string | undefined;
  function* asking(): Conversation {
    found = yield* conversation;
  }
  await drive(url, [asking()], leading);
  return found;
}

function fillers(run: Run, waiting: number): Conversation[] {
  let left = waiting;
  let batches = 0;
  function* fill(): Conversation {
    while (left > 0 && run.goesOn()) {
      const messages = Math.min(FILL_BATCH, left);
      left -= messages;
      yield* sendMany(run, addressAt(run, batches++), messages);
    }
  }
  return Array.from({ length: FILLERS }, fill);
}

function* marking(conversation: Conversation, onEnd: () => void): Conversation {
  yield* conversation;
  onEnd();
}

const difference = (before: Usage, after: Usage): Usage => ({
  workerMicros: after.workerMicros - before.workerMicros,
  redisMicros: after.redisMicros - before.redisMicros,
});
