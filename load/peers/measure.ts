// One measurement of one system at one durability: started, warmed up, measured, checked and stopped.
import { cpuMicros, percentile } from '../../harness/measure.js';
import { takeIds } from '../../bench/traffic.js';
import { check, messages, type Message } from './check.js';
import { LANES, timed, type Durability, type Running, type System } from './system.js';

export interface Size {
  /** Messages measured, and not measured before that; multiples of 100, so that every queue gets the same. */
  count: number;
  warmUp: number;
  /** Sent one after another, for the latencies. */
  alone: number;
}

export interface Measured {
  version: string;
  /** µs per message, by process. */
  parts: Record<string, number>;
  perSecond: number;
  /** Of a message by itself, from its way out to its acknowledgement, ms. */
  p50: number;
  p99: number;
}

/** Sends and receives all, and throws if anything is lost, doubled or altered. */
async function pass(name: string, running: Running, count: number) {
  const sent: Message[] = messages(count, takeIds(count));
  const before = cpu(running);
  const began = performance.now();
  await running.send(sent, LANES);
  const received = await running.receive(count);
  const seconds = (performance.now() - began) / 1000;
  const after = cpu(running);
  check(name, sent, received);
  const parts = Object.fromEntries(Object.keys(before).map((part) => [part, (after[part]! - before[part]!) / count]));
  return { parts, perSecond: count / seconds };
}

/** Sends them one after another, and throws as above. */
async function alone(name: string, running: Running, count: number): Promise<number[]> {
  const sent = messages(count, takeIds(count));
  const times = await (running.timesOf?.(sent) ?? timed(sent, (all, lanes) => running.send(all, lanes)));
  check(name, sent, await running.receive(count));
  return times;
}

const cpu = ({ processes }: Running): Record<string, number> =>
  Object.fromEntries(Object.entries(processes).map(([part, pid]) => [part, cpuMicros(pid)]));

export async function measure(system: System, durability: Durability, size: Size): Promise<Measured> {
  const scaled = (count: number): number => Math.max(100, Math.round((count * (system.share ?? 1)) / 100) * 100);
  const running = await system.start(durability);
  try {
    await pass(system.name, running, scaled(size.warmUp));
    const { parts, perSecond } = await pass(system.name, running, scaled(size.count));
    const times = await alone(system.name, running, scaled(size.alone));
    return { version: running.version, parts, perSecond, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  } finally {
    await running.stop();
  }
}
