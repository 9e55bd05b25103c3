// What a scrape reads from one worker: the counters, and gauges of its present state. docs/operations.md explains each metric.
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { formatNode } from '../../names/authority.js';
import type { Memory } from '../../http/limits/memory.js';
import type { Observer } from '../observer.js';
import type { Replication } from '../../redis/replication/replication.js';
import { createObserver } from './counting.js';

/**
 * The metrics of prom-client that are kept: those that operators use, and the user CPU time and the lag itself, whose collection
 * also sets others that are kept. The rest would cost time at each scrape.
 */
const OF_THE_PROCESS =
  /^(process_(cpu_(user_)?seconds_total|resident_memory_bytes|open_fds|max_fds)|nodejs_(eventloop_lag_((mean|p99|max)_)?seconds|heap_size_(total|used)_bytes|external_memory_bytes|gc_duration_seconds))$/;

/** Metrics with their values, in the form that is sent between processes. */
export type Samples = MetricObjectWithValues<MetricValue<string>>[];

export interface Reading {
  /** Of this process only. */
  own: Samples;
  /** Of the queues, the same from every worker. */
  queues: Samples;
}

/** @param queues whether to read the metrics of the queues too */
export type ReadMetrics = (queues: boolean) => Promise<Reading>;

/** Where a scrape reads the gauges from. */
export interface Sources {
  readonly version: string;
  waiters: () => number;
  memory: () => Memory;
  /** When each key that was used here was last used, ms since 1970. */
  keyUses: () => Iterable<[name: string, atMs: number]>;
  /** Whether Redis answers now. */
  redisAnswers: () => Promise<boolean>;
  replication: () => Iterable<[primary: string, replication: Replication]>;
  queues: () => Promise<Samples>;
}

export interface WorkerMetrics {
  readonly observer: Observer;
  reader(sources: Sources): ReadMetrics;
}

export function createWorkerMetrics(): WorkerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name } of registry.getMetricsAsArray())
    if (!OF_THE_PROCESS.test(name)) registry.removeSingleMetric(name);
  return {
    observer: createObserver(registry),
    reader(sources) {
      addSources(registry, sources);
      return async (queues) => {
        const [own, ofQueues] = await Promise.all([registry.getMetricsAsJSON(), queues ? sources.queues() : []]);
        return { own, queues: ofQueues };
      };
    },
  };
}

function addSources(registry: Registry, sources: Sources): void {
  const { version, waiters, memory, keyUses, redisAnswers, replication } = sources;
  const gauge = (
    name: string,
    help: string,
    aggregator: 'sum' | 'min' | 'max',
    labelNames: string[],
    collect: (gauge: Gauge) => void | Promise<void>,
  ): Gauge =>
    new Gauge({
      name,
      help,
      aggregator,
      labelNames,
      registers: [registry],
      collect() {
        return collect(this);
      },
    });
  gauge('aizumi_build_info', 'Always 1', 'max', ['version', 'node_version'], (info) =>
    info.set({ version, node_version: process.version }, 1),
  );
  gauge('aizumi_waiting_receivers', 'RECVs that wait for a message now', 'sum', [], (count) => count.set(waiters()));
  gauge('aizumi_memory_taken_bytes', 'What clients make the worker hold, as it counts it', 'sum', ['use'], (bytes) => {
    for (const [use, taken] of Object.entries(memory().taken)) bytes.set({ use }, taken);
  });
  gauge('aizumi_memory_limit_bytes', 'What that may be', 'sum', [], (limit) => limit.set(memory().limit));
  gauge(
    'aizumi_key_last_used_timestamp_seconds',
    'When an API key of this name was last let in; of several workers the latest',
    'max',
    ['key'],
    (used) => {
      used.reset(); // so that a key that was removed from the file disappears
      for (const [key, atMs] of keyUses()) used.set({ key }, atMs / 1e3);
    },
  );
  gauge('aizumi_redis_up', '1 when Redis answers; of several workers the least', 'min', [], async (up) =>
    up.set((await redisAnswers()) ? 1 : 0),
  );
  const ofPrimaries = (name: string, help: string, aggregator: 'min' | 'max', what: keyof Replication): Gauge =>
    gauge(name, help, aggregator, ['primary'], (nodes) => {
      nodes.reset();
      for (const [primary, numbers] of replication()) nodes.set({ primary: formatNode(primary) }, numbers[what]);
    });
  ofPrimaries('aizumi_replicas_in_sync', 'Replicas that are connected and keep up', 'min', 'inSync');
  ofPrimaries('aizumi_replication_nodes', 'A primary and its replicas, also those that are gone', 'max', 'nodes');
}
