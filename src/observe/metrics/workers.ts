// Metrics of several workers in one scrape: the supervisor queries each over the channel of node:cluster and sums their answers.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { AggregatorRegistry, Counter, Gauge, Registry } from 'prom-client';
import { withTimeout } from '../../timing/timeout.js';
import type { ReadMetrics, Reading, Samples } from './worker-metrics.js';

/** If a worker has not answered by then, its last answer is used. */
const PATIENCE_MS = 1_500;

interface Question {
  aizumiMetrics: number;
  queues: boolean;
}

interface Answer {
  aizumiMetrics: number;
  reading: Reading;
}

const isOurs = (message: unknown): message is { aizumiMetrics: number } =>
  typeof message === 'object' && message !== null && 'aizumiMetrics' in message;

/** In a forked worker: answers its supervisor. */
export function answerSupervisor(read: ReadMetrics): void {
  process.on('message', (message: unknown) => {
    if (!isOurs(message)) return;
    const { aizumiMetrics, queues } = message as Question;
    const answer = (reading: Reading): unknown => process.send?.({ aizumiMetrics, reading } satisfies Answer);
    read(queues).then(answer, () => undefined); // without an answer the last one is used
  });
}

/**
 * In the supervisor. The counters of a worker that has died, as of its last answer, stay in the sums: Prometheus takes a counter
 * that falls for one that was reset.
 */
export function createWorkersMetrics(): ReadMetrics {
  const lastOf = new Map<number, Samples>();
  const waiting = new Map<number, (reading: Reading) => void>();
  /** Id of the worker that is queried for the queues: one that has answered before. */
  let reporter: number | undefined;
  let ended = Promise.resolve<Samples>([]);
  let questions = 0;
  const own = new Registry();
  new Gauge({
    name: 'aizumi_workers',
    help: 'Worker processes that run',
    registers: [own],
    collect() {
      this.set(live().length);
    },
  });
  const deaths = new Counter({ name: 'aizumi_worker_deaths_total', help: 'Workers that died', registers: [own] });

  cluster.on('message', (worker, message: unknown) => {
    if (!isOurs(message)) return;
    const { aizumiMetrics, reading } = message as Answer;
    lastOf.set(worker.id, finite(reading.own));
    waiting.get(aizumiMetrics)?.(reading);
  });
  cluster.on('exit', (worker) => {
    const last = lastOf.get(worker.id) ?? [];
    lastOf.delete(worker.id);
    deaths.inc();
    ended = ended.then((sums) => sum([sums, last.filter(({ type }) => isCumulative(type))]));
  });

  const ask = async (worker: Worker, queues: boolean): Promise<Reading | undefined> => {
    const question: Question = { aizumiMetrics: ++questions, queues };
    const answered = new Promise<Reading>((resolve) => waiting.set(question.aizumiMetrics, resolve));
    worker.send(question, () => undefined); // the channel of a worker that is dying may be closed
    const reading = await withTimeout(PATIENCE_MS, answered);
    waiting.delete(question.aizumiMetrics);
    return reading;
  };

  return async () => {
    const workers = live();
    const chosen = workers.find(({ id }) => id === reporter) ?? workers[0];
    const readings = await Promise.all(workers.map((worker) => ask(worker, worker === chosen)));
    const answered = chosen && readings[workers.indexOf(chosen)];
    reporter = answered ? chosen.id : workers.find((_, i) => readings[i] !== undefined)?.id;
    const all = await sum([await ended, ...lastOf.values(), await own.getMetricsAsJSON()]);
    return { own: all, queues: answered?.queues ?? [] };
  };
}

const live = (): Worker[] =>
  Object.values(cluster.workers ?? {}).filter(
    (worker): worker is Worker => worker !== undefined && worker.isConnected() && !worker.isDead(),
  );

/** At run time a metric's type is a name, not a value of the enum in prom-client's declarations. */
const isCumulative = (type: unknown): boolean => type === 'counter' || type === 'histogram';

/** Drops values that were NaN, which JSON turns into null. */
const finite = (samples: Samples): Samples =>
  samples.map((metric) => ({ ...metric, values: metric.values.filter(({ value }) => typeof value === 'number') }));

const sum = (samples: Samples[]): Promise<Samples> => AggregatorRegistry.aggregate(samples).getMetricsAsJSON();
