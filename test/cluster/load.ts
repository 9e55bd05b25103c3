// SENDs from a pod during an event, and the check of what is stored afterwards.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from '../../harness/until.js';
import { CLIENTS, loadPod } from './install.js';
import type { Installed } from './install.js';
import { exec } from './kubectl.js';

/** First and last of ids that follow each other. */
export type Run = readonly [number, number];

export interface LoadOptions {
  address: number;
  /** Connections that are kept; connections of one request each; default: 8 and none. */
  kept?: number;
  fresh?: number;
  /** All connections together; default: each sends as soon as it has its answer. */
  perSecond?: number;
  durability?: 'primary' | 'quorum' | 'all';
  /** A body that is sent instead; any answer to it counts as done. */
  burden?: unknown;
  /** Where it must not run. */
  exceptNode?: string;
}

export interface LoadResult {
  acknowledged: Run[];
  notDone: Run[];
  unknown: Run[];
  /** Why, and how often. */
  reasons: Record<string, number>;
  seconds: number;
  /** The longest times without a 200, and when each ended (Unix time, ms). */
  gaps: { ms: number; at: number }[];
  p50Ms: number;
  p99Ms: number;
}

export interface Load {
  /** Resolves when there was a 200 at least every second for so long. @throws Error when that takes longer than `withinMs` */
  calm(forMs: number, withinMs: number): Promise<void>;
  stop(): Promise<LoadResult>;
}

const CONNECTIONS = 8;
/** A client's patience. */
const TIMEOUT_MS = 5_000;
const STARTED_MS = 20_000;
const STOPPED_MS = 30_000;
const SILENCE_MS = 1_000;
const DRAINED_MS = 120_000;

/** Resolves when the first message was acknowledged. */
export async function startLoad({ url, key }: Installed, options: LoadOptions): Promise<Load> {
  const { exceptNode, ...more } = options;
  const pod = await loadPod(exceptNode);
  const args = ['exec', '--stdin', '--namespace', CLIENTS, pod, '--', 'node', '/programs/send.mjs'];
  const program = spawn('kubectl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let [done, doneMs, silentSinceMs, stderr] = [0, performance.now(), performance.now(), ''];
  let result: LoadResult | undefined;
  program.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  createInterface({ input: program.stdout }).on('line', (line) => {
    const told = JSON.parse(line) as { done?: number; result?: LoadResult };
    result ??= told.result;
    if (told.done === undefined || told.done === done) return;
    const now = performance.now();
    if (now - doneMs > SILENCE_MS) silentSinceMs = now;
    [done, doneMs] = [told.done, now];
  });
  const ended = new Promise<void>((resolve) => program.once('close', () => resolve()));
  program.stdin.on('error', () => undefined); // it has ended; stop() says why
  const first = { url, key, kept: CONNECTIONS, durability: 'quorum', timeoutMs: TIMEOUT_MS, ...more };
  program.stdin.write(`${JSON.stringify(first)}\n`);
  await until('a message is acknowledged', () => done > 0 || program.exitCode !== null, STARTED_MS).catch(
    (error: unknown) => {
      program.kill();
      throw error;
    },
  );
  silentSinceMs = performance.now();
  return {
    async calm(forMs, withinMs) {
      const isCalm = async (): Promise<boolean> => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        const now = performance.now();
        return now - doneMs < SILENCE_MS && now - Math.max(silentSinceMs, startedMs) > forMs;
      };
      const startedMs = performance.now();
      await until('SENDs are acknowledged again', isCalm, withinMs);
    },
    async stop() {
      program.stdin.end('stop\n');
      const timer = setTimeout(() => program.kill(), STOPPED_MS);
      await ended;
      clearTimeout(timer);
      if (!result) throw new Error(`the load in ${pod} ended without a result: ${stderr.trim()}`);
      return result;
    },
  };
}

/** Receives and frees all messages of an address. @returns their ids */
export async function drain({ url, key }: Installed, address: number): Promise<Run[]> {
  const input = JSON.stringify({ url, key, address, withinMs: DRAINED_MS });
  const options = { input, withinMs: DRAINED_MS + 10_000 };
  const told = await exec({ namespace: CLIENTS, pod: await loadPod() }, ['node', '/programs/receive.mjs'], options);
  return (JSON.parse(told) as { received: Run[] }).received;
}

export const count = (runs: readonly Run[]): number => runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);

/** How many ids of the one are in the other. Both are in order. */
export function countIn(runs: readonly Run[], others: readonly Run[]): number {
  let [sum, at] = [0, 0];
  for (const [first, last] of runs) {
    while (at < others.length && others[at]![1] < first) at += 1;
    for (let i = at; i < others.length && others[i]![0] <= last; i++)
      sum += Math.min(last, others[i]![1]) - Math.max(first, others[i]![0]) + 1;
  }
  return sum;
}

/** One request from a pod, some times, on a connection each. @returns the statuses, each once; 0 is no answer */
export async function ask(url: string, options: { body: object; key: string; times: number }): Promise<number[]> {
  const input = JSON.stringify({ url, ...options });
  const where = { namespace: CLIENTS, pod: await loadPod() };
  return JSON.parse(await exec(where, ['node', '/programs/ask.mjs'], { input })) as number[];
}
