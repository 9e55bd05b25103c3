// Counts and latencies, by type of request.
import { createHistogram } from 'node:perf_hooks';
import type { RecordableHistogram } from 'node:perf_hooks';

/** One type of request: SEND, RECV, … Latencies are of replies 200 only. */
export interface Row {
  requests: number;
  /** Messages sent, received or freed: more than requests for batches. */
  messages: number;
  /** RECVs from an empty queue, which are no failures. */
  empty: number;
  failures: Map<string, number>;
  micros: RecordableHistogram;
}

export interface Tally {
  readonly rows: ReadonlyMap<string, Row>;
  /** All types together. */
  readonly all: Row;
  /** The counts since the last call, for all types together. */
  takeInterval(): Row;
  /** Replies that no client should ever get, by reason, for all types together. */
  readonly strange: Map<string, number>;
  done(type: string, ms: number, messages?: number): void;
  empty(type: string): void;
  failed(type: string, reason: string): void;
  /** Latencies measured separately from requests, and counted nowhere else. */
  measured(type: string, ms: number): void;
}

export function createTally(): Tally {
  const rows = new Map<string, Row>();
  const all = newRow();
  let interval = newRow();
  const rowOf = (type: string): Row => {
    const row = rows.get(type) ?? newRow();
    rows.set(type, row);
    return row;
  };
  const each = (type: string): Row[] => [rowOf(type), all, interval];
  return {
    rows,
    all,
    strange: new Map(),
    takeInterval() {
      const taken = interval;
      interval = newRow();
      return taken;
    },
    done(type, ms, messages = 1) {
      for (const row of each(type)) {
        row.requests += 1;
        row.messages += messages;
        row.micros.record(microsOf(ms));
      }
    },
    empty(type) {
      for (const row of each(type)) {
        row.requests += 1;
        row.empty += 1;
      }
    },
    failed(type, reason) {
      for (const row of each(type)) {
        row.requests += 1;
        count(row.failures, reason);
      }
    },
    measured(type, ms) {
      rowOf(type).micros.record(microsOf(ms));
    },
  };
}

export const count = <K>(counts: Map<K, number>, key: K): void => void counts.set(key, (counts.get(key) ?? 0) + 1);

export const total = (counts: ReadonlyMap<unknown, number>): number => [...counts.values()].reduce((a, b) => a + b, 0);

/** The latency percentile in ms; 0 if there is no sample. */
export const latencyMs = ({ micros }: Row, percent: number): number =>
  micros.count === 0 ? 0 : (percent === 100 ? micros.max : micros.percentile(percent)) / 1000;

const microsOf = (ms: number): number => Math.max(1, Math.round(ms * 1000));

const newRow = (): Row => ({
  requests: 0,
  messages: 0,
  empty: 0,
  failures: new Map(),
  micros: createHistogram({ figures: 3 }),
});
