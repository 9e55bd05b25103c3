// A scenario as a row of load/results.ts: what it costs a broker, for those who measure.
import type { Redis } from 'ioredis';
import { cpuMicros, redisUsage } from '../harness/measure.js';
import type { Cost } from './results.js';
import { runVariant } from './run.js';
import type { Result, Usage, Watch } from './run.js';
import type { LoadOptions, Scenario, Variant } from './scenario.js';
import { faults, nameOf } from './table.js';
import { latencyMs } from './tally.js';

export interface Measured {
  url: string;
  /** On this machine; its CPU time counts with that of its descendants. Without it the row says 0. */
  workerPid?: number;
  /** For INFO. Without it the row says 0. */
  redis?: Redis;
}

const CONNECTIONS = 64;

export const defaults = (options: Partial<LoadOptions>): LoadOptions => ({
  connections: CONNECTIONS,
  timeoutS: 10,
  waiting: 0,
  keep: false,
  ...options,
});

/**
 * Runs it once: per request, in `batches` per message, of the timed part alone. Latencies: of all requests together.
 * @throws Error where the ledger does not balance
 */
export async function costOf(
  measured: Measured,
  scenario: Scenario,
  variant: Variant,
  options: Partial<LoadOptions> = {},
): Promise<Cost & { result: Result }> {
  const result = await runOn(measured, scenario, variant, options, { usage: () => usageOf(measured) });
  const { tally, seconds, usage = { workerMicros: 0, redisMicros: 0 } } = result;
  const per = scenario.name === 'batches' ? tally.all.messages : tally.all.requests;
  return {
    workerMicros: usage.workerMicros / per,
    redisMicros: usage.redisMicros / per,
    perSecond: per / seconds,
    p50: latencyMs(tally.all, 50),
    p99: latencyMs(tally.all, 99),
    result,
  };
}

/** @throws Error where the ledger does not balance */
export async function runOn(
  { url }: Measured,
  scenario: Scenario,
  variant: Variant,
  options: Partial<LoadOptions>,
  watch: Watch = {},
): Promise<Result> {
  const deployment = { url, headers: { 'Content-Type': 'application/json' } };
  const result = await runVariant(deployment, scenario, variant, defaults(options), watch);
  const found = faults(result);
  if (found.length > 0) throw new Error(`${nameOf(result)}: ${found.join('\n')}`);
  return result;
}

async function usageOf({ workerPid, redis }: Measured): Promise<Usage> {
  return {
    workerMicros: workerPid === undefined ? 0 : cpuMicros(workerPid),
    redisMicros: redis === undefined ? 0 : (await redisUsage(redis)).micros,
  };
}
