// Metrics of the queues, the same from every worker. The label `address` has a bounded number of values at a time.
import { Gauge, Registry } from 'prom-client';
import type { TopQueues, TopQueuesReport } from '../../queue/top-queues.js';
import { withTimeout } from '../../timing/timeout.js';
import type { Samples } from './worker-metrics.js';

/** Redis is queried at most this often, however many clients scrape. */
const FRESH_MS = 3_000;
/** How long a scrape waits for Redis. */
const PATIENCE_MS = 1_000;

/** @returns a function that reads the metrics; they have no values if Redis does not answer in time */
export function createQueueMetrics(topQueues: TopQueues): () => Promise<Samples> {
  const registry = new Registry();
  const gauges = createGauges(registry);
  let last: Promise<TopQueuesReport | undefined> | undefined;
  let askedMs = 0;
  return async () => {
    const nowMs = performance.now();
    if (last === undefined || nowMs - askedMs > FRESH_MS) {
      askedMs = nowMs;
      last = withTimeout(PATIENCE_MS, topQueues.round());
    }
    const report = await last;
    registry.resetMetrics();
    // a gauge without labels is reset to 0, which would not mean unknown
    for (const gauge of [gauges.total, gauges.oldestOfAll, gauges.dead]) gauge.remove();
    if (report) fill(gauges, report);
    return registry.getMetricsAsJSON();
  };
}

interface QueueGauges {
  total: Gauge;
  messages: Gauge;
  oldest: Gauge;
  oldestOfAll: Gauge;
  dead: Gauge;
}

function createGauges(registry: Registry): QueueGauges {
  const gauge = (name: string, help: string, ...labelNames: string[]): Gauge =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  return {
    total: gauge('aizumi_queues', 'Queues that the broker has'),
    messages: gauge('aizumi_queue_messages', 'Messages of a queue, of those that hold the most', 'address', 'state'),
    oldest: gauge(
      'aizumi_queue_oldest_age_seconds',
      'Age of the oldest message that waits or is leased, of the same queues',
      'address',
    ),
    oldestOfAll: gauge('aizumi_oldest_message_age_seconds', 'Age of the oldest message, over all queues'),
    dead: gauge('aizumi_dead_messages', 'Messages in the dead streams of all queues'),
  };
}

function fill({ total, messages, oldest, oldestOfAll, dead }: QueueGauges, report: TopQueuesReport): void {
  total.set(report.total);
  for (const queue of report.queues) {
    const address = String(queue.address);
    for (const state of ['waiting', 'leased', 'delayed', 'dead'] as const)
      messages.set({ address, state }, queue[state]);
    oldest.set({ address }, queue.oldestMs / 1e3);
  }
  oldestOfAll.set(report.oldestMs / 1e3);
  dead.set(report.dead);
}
