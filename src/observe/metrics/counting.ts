// The metrics of one worker: an Observer that counts what the layers report.
import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { REASONS } from '../../errors.js';
import type { Reason } from '../../errors.js';
import { LIMITS } from '../observer.js';
import type { ConnectionName, ConnectionObserver, Observer } from '../observer.js';

/** Seconds. A SEND takes under a millisecond, one that replicas confirm a few; aizumi promises a reply within a second. */
const LATENCIES = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const ROUND_TRIPS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const WAITS = [0.01, 0.1, 0.5, 1, 2, 5, 10, 20];
/** Addresses with a series of their own in each counter by address; all others are counted as `other`. */
const MOST_ADDRESSES = 100;
const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

export function createObserver(registry: Registry): Observer {
  const registers = [registry];
  const answered = requestCounter(registry);
  const durations = new Histogram({
    name: 'aizumi_request_duration_seconds',
    help: 'From a request read to its reply ready; RECVs with wait_ms are not in it',
    labelNames: ['msg_type'],
    buckets: LATENCIES,
    registers,
  });
  const durationOf = remember((msgType: string) => durations.labels(msgType));
  const waited = new Histogram({
    name: 'aizumi_recv_wait_seconds',
    help: 'How long RECVs with wait_ms took',
    buckets: WAITS,
    registers,
  });
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const refusals = new Counter({
    name: 'aizumi_limit_refusals_total',
    help: 'Requests answered 429, by the limit that they were over',
    labelNames: ['limit'],
    registers,
  });
  for (const limit of LIMITS) refusals.inc({ limit }, 0); // a series must exist before, or Prometheus sees no increase at 1
  const deliveries = counter('aizumi_deliveries_total', 'Messages delivered');
  const redeliveries = counter('aizumi_redeliveries_total', 'Messages delivered that had been delivered before');
  const deaths = counter('aizumi_dead_letters_total', 'Messages moved to dead streams');
  const countDeaths = countByAddress(registry, 'aizumi_queue_dead_letters_total', 'The same, by queue');
  const countFull = countByAddress(registry, 'aizumi_queue_full_total', 'SENDs refused because their queue was full');
  const stalls = counter('aizumi_stalled_connections_total', 'Connections cut because a reply was not taken');
  const writes = new Histogram({
    name: 'aizumi_group_commit_writes',
    help: 'Writes confirmed by one WAIT',
    buckets: BATCHES,
    registers,
  });
  const confirmations = new Histogram({
    name: 'aizumi_group_commit_wait_seconds',
    help: 'How long one WAIT took',
    buckets: LATENCIES,
    registers,
  });
  return {
    answered(msgType, reason, tookMs, isWait) {
      answered(msgType, reason);
      if (isWait) waited.observe(tookMs / 1e3);
      else durationOf(msgType).observe(tookMs / 1e3);
    },
    refused: (reason) => answered('none', reason),
    limited(limit, address) {
      refusals.inc({ limit });
      if (address !== undefined) countFull(address, 1);
    },
    stalled: () => stalls.inc(),
    delivered(address, taken, died) {
      const redelivered = taken.filter(({ attempt }) => attempt > 1).length;
      if (taken.length > 0) deliveries.inc(taken.length);
      if (redelivered > 0) redeliveries.inc(redelivered);
      if (died === 0) return;
      deaths.inc(died);
      countDeaths(address, died);
    },
    committed(count, tookMs) {
      writes.observe(count);
      confirmations.observe(tookMs / 1e3);
    },
    connections: createConnections(registry),
  };
}

/** Only the first addresses have a series of their own: a client must not be able to create series without limit. */
function countByAddress(registry: Registry, name: string, help: string): (address: number, count: number) => void {
  const counter = new Counter({ name, help, labelNames: ['address'], registers: [registry] });
  const known = new Set<number>();
  return (address, count) => {
    if (known.size < MOST_ADDRESSES) known.add(address);
    counter.inc({ address: known.has(address) ? String(address) : 'other' }, count);
  };
}

/** Caches the child of a label, which prom-client searches for at each use. */
function remember<K, V>(make: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const found = known.get(key) ?? make(key);
    known.set(key, found);
    return found;
  };
}

/** Counts in plain numbers that a scrape reads, since prom-client looks up the labels at each increment. */
function requestCounter(registry: Registry): (msgType: string, reason: Reason | undefined) => void {
  const counts: { labels: Record<string, string>; count: number }[] = [];
  const countOf = remember((reason: Reason | undefined) =>
    remember((msgType: string) => {
      const code = String(reason ? REASONS[reason].status : 200);
      const known = { labels: { msg_type: msgType, code, reason: reason ?? 'none' }, count: 0 };
      counts.push(known);
      return known;
    }),
  );
  new Counter({
    name: 'aizumi_requests_total',
    help: 'Requests answered, each of a batch; msg_type none: refused before it was known; reason none: done',
    labelNames: ['msg_type', 'code', 'reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, count } of counts) this.inc(labels, count);
    },
  });
  return (msgType, reason) => void (countOf(reason)(msgType).count += 1);
}

function createConnections(registry: Registry): Record<ConnectionName, ConnectionObserver> {
  const roundTrips = new Histogram({
    name: 'aizumi_redis_round_trip_seconds',
    help: 'From a command sent to its answer, of one command in 16',
    labelNames: ['connection'],
    buckets: ROUND_TRIPS,
    registers: [registry],
  });
  const observe = (connection: ConnectionName): ConnectionObserver => {
    const child = roundTrips.labels(connection);
    return { commands: 0, roundTrip: (tookMs) => child.observe(tookMs / 1e3) };
  };
  const connections = { main: observe('main'), durable: observe('durable'), waiting: observe('waiting') };
  new Counter({
    name: 'aizumi_redis_commands_total',
    help: 'Commands sent to Redis',
    labelNames: ['connection'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [name, { commands }] of Object.entries(connections)) this.inc({ connection: name }, commands);
    },
  });
  return connections;
}
