// One row of the table: an event hits a complete deployment under load, and afterwards all acknowledged messages must be there.
import { setTimeout as pause } from 'node:timers/promises';
import { followLogs } from './follow-logs.js';
import { count, countIn, drain, startLoad } from './load.js';
import type { LoadOptions, LoadResult } from './load.js';
import { whole } from './pods.js';
import type { Pod } from './pods.js';
import type { Context } from './step.js';

export interface Event {
  name: string;
  /** `failover`: 6 s without a 200 at most; `planned`: 1 s, and every request is done. */
  bound?: keyof typeof BOUNDS_MS;
  load?: Partial<LoadOptions>;
  /** Before the load starts, with the primary's pod. */
  prepare?: (primary: Pod) => Promise<unknown>;
  /** Resolves when it is over, or when enough was seen of it; the load goes on until all is calm. */
  strike: (primary: Pod) => Promise<unknown>;
  /** Afterwards, also when something failed; the load goes on. */
  mend?: () => Promise<unknown>;
}

export interface Row {
  event: string;
  notDone: number;
  unknown: number;
  longestMs: number;
  acknowledged: number;
  lost: number;
  /** Delivered though they were answered "not done". */
  denied: number;
  bound: Event['bound'];
  reasons: LoadResult['reasons'];
  gaps: LoadResult['gaps'];
  /** What did not happen as it should, beside the figures. */
  fault?: string;
}

/** Of the longest time without a 200. */
export const BOUNDS_MS = { failover: 6_000, planned: 1_000 };
const WARM_UP_MS = 2_000;
const CALM_MS = 6_000;
const RESUMED_MS = 120_000;

let nextAddress = 1 + Math.floor(Math.random() * 4_000_000) * 1_000;

let pendingMend: Event['mend'];
/** What the event under way did to the cluster is mended; for who ends this program early. */
export async function mendPending(): Promise<void> {
  const mend = pendingMend;
  pendingMend = undefined;
  await mend?.();
}

/** @throws Error when the deployment is not whole before, or its messages cannot be received afterwards */
export async function measure(
  { installed, perSecond, logs }: Pick<Context, 'installed' | 'perSecond' | 'logs'>,
  event: Event,
): Promise<Row> {
  const { name, bound, prepare, strike, mend } = event;
  const address = nextAddress++;
  await prepare?.(await whole());
  const primary = await whole();
  const load = await startLoad(installed, { address, perSecond, exceptNode: primary.node, ...event.load });
  const stopLogs = logs === undefined ? undefined : followLogs(logs, name);
  const faults: string[] = [];
  const tell = (error: unknown): unknown => faults.push((error as Error).message);
  await pause(WARM_UP_MS);
  // whatever fails, what was acknowledged until then counts
  pendingMend = mend;
  await strike(primary).catch(tell);
  await mendPending().catch(tell);
  await load.calm(CALM_MS, RESUMED_MS).catch(tell);
  const { acknowledged, notDone, unknown, reasons, gaps } = await load.stop();
  await whole().catch(tell);
  await stopLogs?.();
  const received = await drain(installed, address);
  return {
    event: name,
    notDone: count(notDone),
    unknown: count(unknown),
    longestMs: gaps[0]?.ms ?? Infinity,
    acknowledged: count(acknowledged),
    lost: count(acknowledged) - countIn(acknowledged, received),
    denied: countIn(notDone, received),
    bound,
    reasons,
    gaps,
    ...(faults.length > 0 && { fault: faults.join('; ') }),
  };
}
