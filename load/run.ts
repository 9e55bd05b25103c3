// Runs one variant of a scenario: creates queues, fills them, runs the timed part, and drains them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Conversation } from './conversation.js';
import { claim, randomAddress } from './deployment.js';
import type { Deployment } from './deployment.js';
import { drive } from './drive.js';
import { addressAt, sendMany } from './exchange.js';
import type { Run } from './exchange.js';
import { createLedger } from './ledger.js';
import type { Verdict } from './ledger.js';
import { createPacer } from '../harness/pace.js';
import { startSampling } from './drift.js';
import type { OnSample } from './drift.js';
import type { LoadOptions, Scenario, Variant } from './scenario.js';
import { settle } from './settle.js';
import { createTally } from './tally.js';
import type { Tally } from './tally.js';

/** CPU time used so far, in µs, by the processes that the observer knows. */
export interface Usage {
  workerMicros: number;
  redisMicros: number;
}

/** Optional observers of a run. */
export interface Watch {
  /** `fraction` of the named part, 0 … 1. */
  progress?(part: string, fraction: number, tally: Tally): void;
  usage?(): Usage;
  sample?: OnSample;
  isStopped?(): boolean;
}

interface Timed {
  tally: Tally;
  /** From the end of the warm-up to the last reply. */
  seconds: number;
  usage?: Usage | undefined;
}

export interface Result {
  scenario: string;
  variant: string;
  firstAddress: number;
  connections: number;
  /** Why it was not run. */
  notRun?: string;
  /** Counts of the timed part. */
  seconds: number;
  tally: Tally;
  /** Counts of filling and draining. */
  beside: Tally;
  verdict: Verdict;
  /** Counts of the timed part. */
  usage?: Usage;
}

const PAYLOAD_LENGTH = 100;
const DURATION_S = 10;
const PROGRESS_MS = 250;
/** SENDs in one body while queues are filled. */
const FILL_BATCH = 100;
const FILLERS = 16;

/** @throws LoadError if the deployment does not do what a run needs */
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
  /** Counts of requests before and after the timed part. */
  const beside: Run = { ledger, tally: createTally(), addresses, goesOn };
  const run: Run = { ...beside };
  const { url, headers } = deployment;
  const leading = { headers, timeoutMs: options.timeoutS * 1000 };
  const follow = (part: string, fraction: () => number, of: Run): NodeJS.Timeout =>
    setInterval(() => watch.progress?.(part, clamped(fraction()), of.tally), PROGRESS_MS);

  const talk = async (): Promise<Timed> => {
    const talks = Array.from({ length: connections }, (_, i) => variant.talk(run, i));
    const warmUpMs = (options.warmUpS ?? 0) * 1000;
    const startMs = performance.now() + warmUpMs;
    let lastMs = startMs;
    endMs = startMs + durationS * 1000;
    const tally = createTally();
    const timers = [follow('', () => (performance.now() - startMs) / (durationS * 1000), run)];
    const startClock = (): Usage | undefined => {
      run.tally = tally;
      if (variant.samples && watch.sample)
        timers.push(startSampling(tally, options.sampleS ?? durationS / 60, watch.sample));
      return watch.usage?.();
    };
    const started = warmUpMs > 0 ? sleep(warmUpMs).then(startClock) : startClock();
    const pacer = options.rate === undefined ? undefined : createPacer(options.rate);
    if (pacer) timers.push(setTimeout(() => pacer.stop(), endMs - performance.now()));
    try {
      const marked = talks.map((talk) => marking(talk, () => (lastMs = performance.now())));
      await drive(url, marked, { ...leading, pacer });
      const [before, after] = [await started, watch.usage?.()];
      return { tally, seconds: (lastMs - startMs) / 1000, usage: before && after && difference(before, after) };
    } finally {
      pacer?.stop();
      timers.forEach((timer) => clearTimeout(timer));
    }
  };

  await claim(deployment, addresses);
  const notRun = variant.probe && (await probe(variant.probe(beside), url, leading));
  if (notRun === undefined && variant.waiting) {
    const { waiting, waitingWithinS = Infinity } = variant;
    endMs = performance.now() + waitingWithinS * 1000;
    const timer = follow('filling', () => beside.tally.all.messages / waiting, beside);
    await drive(url, fillers(beside, waiting), leading).finally(() => clearInterval(timer));
  }
  const { tally, seconds, usage } = notRun === undefined ? await talk() : { tally: createTally(), seconds: 0 };
  const { messages } = beside.tally.all;
  const toDrain = Math.max(1, ledger.verdict(0).sent - tally.all.messages / 3);
  const timer = follow('draining', () => (beside.tally.all.messages - messages) / 2 / toDrain, beside);
  const verdict = await settle(beside, deployment, options.keep).finally(() => clearInterval(timer));
  return {
    scenario: scenario.name,
    variant: variant.name,
    firstAddress: addresses.first,
    connections,
    seconds,
    tally,
    beside: beside.tally,
    verdict,
    ...(usage && { usage }),
    ...(notRun !== undefined && { notRun }),
  };
}

const clamped = (fraction: number): number => Math.min(1, Math.max(0, fraction));

/** Ten digits, different from earlier runs. */
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
  return Array.from({ length: Math.min(FILLERS, Math.ceil(waiting / FILL_BATCH)) }, fill);
}

function* marking(conversation: Conversation, onEnd: () => void): Conversation {
  yield* conversation;
  onEnd();
}

const difference = (before: Usage, after: Usage): Usage => ({
  workerMicros: after.workerMicros - before.workerMicros,
  redisMicros: after.redisMicros - before.redisMicros,
});
