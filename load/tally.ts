// Counts and latencies, by type of request.
import { createHistogram } from 'node:perf_hooks';
import type { RecordableHistogram } from 'node:perf_hooks';

/** One type of request: SEND, RECV, … Latencies are those of answers 200. */
export interface Row {
  requests: number;
  /** SENDs, RECVs and FREEs in them: more than requests where they come in batches. */
  messages: number;
  /** RECVs that were told that there is nothing: no failure. */
  empty: number;
  failures: Map<string, number>;
  micros: RecordableHistogram;
}

export interface Tally {
  readonly rows: ReadonlyMap<string, Row>;
  /** Of all types together. */
  readonly all: Row;
  /** What came since the last call, of all types together. */
  takeInterval(): Row;
  /** Answers that no client should ever get, by reason; of all types together. */
  readonly strange: Map<string, number>;
  done(type: string, ms: number, messages?: number): void;
  empty(type: string): void;
  failed(type: string, reason: string): void;
  /** Measured beside the requests, and counted nowhere else. */
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

/** The latency that so many percent were not over, ms; 0 where there is none. */
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
